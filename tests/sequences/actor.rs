//! One process of the cast, at work on the region.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use inplace::codec::Raw;
use inplace::{Error, Fingerprint, Key, Loan, Pinned, Region, Store};
use nix::unistd::{ForkResult, fork};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::orders::{Content, Id, Order, Reply, Token, lead};
use super::stores;
use crate::support::payload;

/// What a process has: a handle, views and loans. A forked child has what its parent had.
pub struct Actor {
    pub region: Option<Region>,
    pub views: BTreeMap<Token, Pinned>,
    pub loans: BTreeMap<Token, Loan>,
    /// Over the region, once it was asked for.
    pub store: Option<Store<Raw>>,
    /// Where the process in each seat gets its orders.
    pub seats: Vec<UnixStream>,
    /// What a child must not keep, so that it ends when the director does.
    pub directors: Vec<RawFd>,
}

pub fn send(stream: &mut UnixStream, what: &impl Serialize) -> std::io::Result<()> {
    let bytes = postcard::to_stdvec(what).unwrap();
    let mut frame = (bytes.len() as u32).to_le_bytes().to_vec();
    frame.extend(bytes);
    stream.write_all(&frame)
}

pub fn receive<T: DeserializeOwned>(stream: &mut UnixStream) -> std::io::Result<T> {
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let mut bytes = vec![0; u32::from_le_bytes(len) as usize];
    stream.read_exact(&mut bytes)?;
    Ok(postcard::from_bytes(&bytes).unwrap())
}

fn end(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

impl Actor {
    /// Obeys until told to end, or until nobody can tell any more.
    fn serve(&mut self, seat: usize) -> ! {
        // SAFETY: descriptors of the director's that this process inherited, closed once; children reap themselves.
        unsafe {
            for descriptor in self.directors.drain(..) {
                libc::close(descriptor);
            }
            libc::signal(libc::SIGCHLD, libc::SIG_IGN);
        }
        loop {
            let Ok(order) = receive::<Order>(&mut self.seats[seat]) else { end(0) };
            let reply = self.obey(&order);
            if send(&mut self.seats[seat], &reply).is_err() {
                end(0);
            }
        }
    }

    pub fn obey(&mut self, order: &Order) -> Reply {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.perform(order)));
        match outcome {
            Ok(Ok(reply)) => reply,
            Ok(Err(error)) => error.into(),
            Err(panic) => Reply::Panicked(match panic.downcast::<String>() {
                Ok(said) => *said,
                Err(panic) => format!("{:?}", panic.downcast_ref::<&str>()),
            }),
        }
    }

    fn perform(&mut self, order: &Order) -> Result<Reply, Error> {
        match order {
            Order::DropView(view) => drop(self.views.remove(view)),
            Order::CloneView { view, seed, keep } => {
                let view = self.views[view].clone();
                return Ok(self.keep(view, (*seed, *keep)));
            }
            Order::Look { view, seed } => return Ok(seen(&self.views[view], *seed)),
            Order::DropLoan(loan) => drop(self.loans.remove(loan)),
            Order::Publish { loan, prefix, remake } => {
                let mut loan = self.loans.remove(loan).unwrap();
                if let (Some(len), Some(seed)) = (prefix, remake) {
                    let len = loan.len().min(*len as usize);
                    payload::fill(*seed, &mut loan[..len]);
                }
                let key = match prefix {
                    Some(len) => loan.publish_prefix(*len as usize),
                    None => loan.publish(),
                };
                return Ok(Reply::Made(vec![id(key?)]));
            }
            Order::Fork { seat } => return Ok(self.fork(*seat)),
            Order::Open(name) => {
                self.region = Some(Region::open(name)?);
                // It may be one of the region as it was before this process was severed from it.
                self.store = None;
            }
            Order::Close => {
                drop(self.region.take());
                self.loans.clear();
                self.store = None;
            }
            Order::Quit => end(0),
            // SAFETY: ends the process; no other thread exists in it.
            Order::Exit => unsafe { libc::exit(0) },
            Order::StorePut(_) | Order::StoreGet { .. } | Order::StoreEvict(_) => {
                let region = self.region.as_ref().unwrap();
                let store = self.store.get_or_insert_with(|| stores::open(region));
                return stores::obey(store, (region.id(), order));
            }
            order => {
                let region = self.region.clone().unwrap();
                return self.use_region(&region, order);
            }
        }
        Ok(Reply::Done)
    }

    fn fork(&mut self, seat: usize) -> Reply {
        // SAFETY: the child obeys orders and ends; what it inherits of other threads it does not touch.
        match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => Reply::Forked(child.as_raw()),
            ForkResult::Child => self.serve(seat),
        }
    }

    fn keep(&mut self, view: Pinned, (seed, keep): (u16, Token)) -> Reply {
        let reply = seen(&view, seed);
        self.views.insert(keep, view);
        reply
    }

    fn use_region(&mut self, region: &Region, order: &Order) -> Result<Reply, Error> {
        let key = |id: &Id| Key::new(region.id(), id.0);
        let make = |content: &Content| payload::make(content.seed, content.len as usize);
        Ok(match order {
            Order::Put(content) => Reply::Made(vec![id(region.put(&make(content))?)]),
            Order::PutBatch(items) => {
                let items: Vec<_> = items.iter().map(make).collect();
                let items: Vec<&[u8]> = items.iter().map(|item| &item[..]).collect();
                Reply::Made(region.put_batch(&items)?.into_iter().map(id).collect())
            }
            Order::Get { id, seed, keep } => match region.get(key(id))? {
                Some(view) => self.keep(view, (*seed, *keep)),
                None => Reply::Seen(None),
            },
            Order::Take { id, seed, keep } => match region.take(key(id))? {
                Some(view) => self.keep(view, (*seed, *keep)),
                None => Reply::Seen(None),
            },
            Order::Wait { id, seed, keep, micros } => {
                let view = region.wait(key(id), Some(Duration::from_micros(*micros)))?;
                self.keep(view, (*seed, *keep))
            }
            Order::Exists(id) => Reply::Yes(region.exists(key(id))?),
            Order::Evict(id) => Reply::Yes(region.evict(key(id))?),
            Order::Reserve => Reply::Made(vec![id(region.reserve()?)]),
            Order::Set(id, content) => {
                region.set(key(id), &make(content))?;
                Reply::Done
            }
            Order::Fail(id) => {
                region.fail(key(id))?;
                Reply::Done
            }
            Order::Loan { content, keep } => {
                let mut loan = region.loan(content.len as usize, Fingerprint::BYTES)?;
                payload::fill(content.seed, &mut loan);
                self.loans.insert(*keep, loan);
                Reply::Done
            }
            Order::Bind(name, id) => Reply::Means(region.bind(name, key(id))?.map(self::id)),
            Order::Lookup(name) => Reply::Means(region.lookup(name)?.map(id)),
            Order::Unbind(name) => Reply::Means(region.unbind(name)?.map(id)),
            Order::Trim => Reply::Count(region.trim()?),
            Order::Check => Reply::Report(region.check()?.into()),
            Order::Keys => {
                let mut ids: Vec<_> = region.keys()?.into_iter().map(id).collect();
                ids.sort();
                Reply::Listed(ids)
            }
            Order::Reap => Reply::Count(region.reap()? as u64),
            other => unreachable!("{other:?} needs no region"),
        })
    }
}

pub fn id(key: Key) -> Id {
    Id(key.object())
}

fn seen(bytes: &[u8], seed: u16) -> Reply {
    let len = bytes.len() as u32;
    Reply::Seen(Some((len, payload::blame(Some(seed), &bytes[lead(seed, len) as usize..]))))
}

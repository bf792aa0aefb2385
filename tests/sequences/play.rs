//! A sequence is played: each operation by its process, each answer judged, and the whole looked at after each.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use inplace::{Fingerprint, RegionOptions};

use super::cast::{Cast, SEATS};
use super::model::{Flaw, Life, Model, Process, SLOTS, Standing, State, UNITS, bucket_of};
use super::ops::{Case, Op, Which, Who};
use super::orders::{Access, Content, Id, Order, Reply, Token};
use super::space::UNIT;
use crate::support::Name;

/// Operations that were carried out, the looks after them not counted.
pub static PLAYED: AtomicU64 = AtomicU64::new(0);

/// How often each kind of order was answered in each way.
pub static ANSWERS: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

fn note(order: &Order, reply: &Reply) {
    let word = |said: String| said.split([' ', '(', '{']).next().unwrap().to_owned();
    let answer = match reply {
        Reply::Refused(refusal) => word(format!("{refusal:?}")),
        Reply::Seen(None) | Reply::Means(None) => "nothing".into(),
        _ => "done".into(),
    };
    let kind = format!("{}: {answer}", word(format!("{order:?}")));
    *ANSWERS.lock().unwrap().entry(kind).or_default() += 1;
}

/// Three names, the first two of one bucket.
pub fn names() -> [String; 3] {
    let first = "name".to_owned();
    let of_same = |other: &String| bucket_of(other) == bucket_of(&first);
    let same = (0..).map(|n| format!("name {n}")).find(of_same).unwrap();
    [first, same, "another".to_owned()]
}

const ACCESS: [Access; 4] = [Access::Get, Access::Take, Access::Resolve, Access::ResolveAndEvict];

/// From this on a number means something unusual.
const RARELY: Which = 200;

/// One sequence under way.
struct Play<'a> {
    cast: &'a mut Cast,
    /// Every state of affairs that explains all answers so far.
    worlds: Vec<Model>,
    /// Who sits where.
    lives: [Option<Life>; SEATS],
    next: u32,
    name: Option<Name>,
    names: [String; 3],
    script: String,
}

/// Plays a sequence; what went wrong, with everything that was said.
pub fn play(cast: &mut Cast, case: &Case, flaw: Option<Flaw>) -> Result<(), String> {
    crate::support::watch();
    cast.clear();
    let name = case.is_named.then(|| Name::new("sequence"));
    let options = RegionOptions::new()
        .capacity(UNITS * UNIT)
        .max_objects(SLOTS as u32)
        .max_participants(case.participants as u32);
    let region = match &name {
        Some(name) => options.create(name),
        None => options.anonymous(),
    };
    cast.director.region = Some(region.map_err(|error| error.to_string())?);
    let mut play = Play {
        cast,
        worlds: vec![Model::new(case.participants, flaw)],
        lives: [Some(0), None, None, None, None],
        next: 1,
        name,
        names: names(),
        script: String::new(),
    };
    let outcome = case.ops.iter().try_for_each(|op| play.step(op)).and_then(|()| play.finish());
    let script = std::mem::take(&mut play.script);
    let file = play.name.as_ref().map(Name::path);
    cast.clear();
    outcome.map_err(|wrong| format!("{wrong}\nwhat was said:\n{script}"))?;
    match file {
        Some(file) if file.exists() => Err(format!("{} is left", file.display())),
        _ => Ok(()),
    }
}

impl Play<'_> {
    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn content(&mut self, len: u32) -> Content {
        Content { seed: self.number() as u16, len }
    }

    fn model(&self) -> &Model {
        &self.worlds[0]
    }

    fn process(&self, seat: usize) -> &Process {
        &self.model().processes[&self.lives[seat].unwrap()]
    }

    /// The seat of a living process for which something holds.
    fn seat(&self, who: Who, can: impl Fn(&Process) -> bool) -> Option<usize> {
        let seats = (0..SEATS).filter(|&seat| self.lives[seat].is_some());
        let able: Vec<_> = seats.filter(|&seat| can(self.process(seat))).collect();
        Some(able[usize::from(who).checked_rem(able.len())?])
    }

    /// A process with a handle.
    fn user(&self, who: Who) -> Option<usize> {
        self.seat(who, |process| process.has_handle)
    }

    /// A key that was given out: mostly of an object that holds something, else of one of the two that went last.
    fn key(&self, which: Which) -> Option<Id> {
        let model = self.model();
        let mut ids: Vec<_> = model.objects.keys().copied().collect();
        ids.sort_by_key(|id| model.objects[id].age);
        let (mut ids, gone): (Vec<_>, Vec<_>) = ids.into_iter().partition(|&id| model.has_slot(id));
        if which >= RARELY || ids.is_empty() {
            ids.extend(gone.iter().rev().take(2));
        }
        Some(ids[usize::from(which).checked_rem(ids.len())?])
    }

    /// Rather a key of an object in a certain state than any.
    fn key_in(&self, which: Which, wanted: impl Fn(State) -> bool) -> Option<Id> {
        let is_wanted = |id: &Id| which < RARELY && wanted(self.model().objects[id].state);
        let near = (0..SLOTS as Which).filter_map(|n| self.key(which.wrapping_add(n)));
        near.into_iter().find(is_wanted).or_else(|| self.key(which))
    }

    /// A name, mostly one that is bound.
    fn name(&self, which: Which) -> String {
        let bound: Vec<_> =
            self.names.iter().filter(|name| self.model().means(name).is_some()).collect();
        let any = &self.names[usize::from(which) % self.names.len()];
        match usize::from(which).checked_rem(bound.len()) {
            Some(at) if which < RARELY => bound[at].clone(),
            _ => any.clone(),
        }
    }

    fn seed(&self, id: Id) -> u16 {
        self.model().objects[&id].content.seed
    }

    fn view(&self, seat: usize, which: Which) -> Option<Token> {
        let views = &self.process(seat).views;
        views.keys().nth(usize::from(which).checked_rem(views.len())?).copied()
    }

    fn loan(&self, seat: usize, which: Which) -> Option<Token> {
        let loans = &self.process(seat).loans;
        loans.keys().nth(usize::from(which).checked_rem(loans.len())?).copied()
    }

    /// Carries out what an operation means now, which may be nothing.
    fn step(&mut self, op: &Op) -> Result<(), String> {
        let done = match op {
            Op::Fork(_) | Op::Arrive | Op::Leave(_) | Op::Exit(_) | Op::Kill(_) => {
                self.change_cast(op)?
            }
            op => match self.order(op) {
                Some((seat, order)) => {
                    self.tell(seat, &order)?;
                    true
                }
                None => false,
            },
        };
        if !done {
            return Ok(());
        }
        PLAYED.fetch_add(1, Ordering::Relaxed);
        self.tell(0, &Order::Check)?;
        self.tell(0, &Order::Keys)
    }

    fn order(&mut self, op: &Op) -> Option<(usize, Order)> {
        match *op {
            Op::DropView(who, which) | Op::CloneView(who, which) | Op::Look(who, which) => {
                self.view_order(op, (who, which))
            }
            Op::Publish(who, which, _) | Op::DropLoan(who, which) => {
                let seat = self.seat(who, |process| !process.loans.is_empty())?;
                let loan = self.loan(seat, which)?;
                let process = self.process(seat);
                let lent = process.loans[&loan];
                let is_mine = lent.mine && process.standing == Standing::Member;
                let remake = is_mine.then_some(lent.content.seed);
                let order = match *op {
                    Op::Publish(_, _, prefix) => Order::Publish { loan, prefix, remake },
                    _ => Order::DropLoan(loan),
                };
                Some((seat, order))
            }
            Op::Open(who) => {
                let name = self.name.as_ref()?.to_string();
                let seat = self.seat(who, |process| {
                    !process.has_handle || process.standing == Standing::Severed
                })?;
                Some((seat, Order::Open(name)))
            }
            Op::Close(who) => {
                let seat = self.user(who).filter(|&seat| seat != 0)?;
                Some((seat, Order::Close))
            }
            Op::StorePut(..) | Op::StoreGet(..) | Op::StoreEvict(..) => self.store_order(op),
            _ => self.object_order(op),
        }
    }

    fn store_order(&mut self, op: &Op) -> Option<(usize, Order)> {
        let (who, order) = match *op {
            Op::StorePut(who, len, true) => {
                let seed = self.number() as u16;
                (who, Order::StorePut(Content::value(seed, len.min(9345))))
            }
            Op::StorePut(who, len, false) => (who, Order::StorePut(self.content(len))),
            Op::StoreGet(who, which, how) => {
                let id = self.key(which)?;
                let content = self.model().objects[&id].content;
                // Sometimes as what it is not.
                let as_value = content.is_value() == (which % 8 != 7);
                (who, Order::StoreGet { id, seed: content.seed, as_value, how: ACCESS[how] })
            }
            Op::StoreEvict(who, which) => (who, Order::StoreEvict(self.key(which)?)),
            _ => return None,
        };
        Some((self.user(who)?, order))
    }

    fn view_order(&self, op: &Op, (who, which): (Who, Which)) -> Option<(usize, Order)> {
        let can_read = matches!(op, Op::DropView(..));
        let seat = self.seat(who, |process| {
            !process.views.is_empty() && (can_read || process.standing == Standing::Member)
        })?;
        let view = self.view(seat, which)?;
        let seed = self.seed(self.process(seat).views[&view]);
        let order = match op {
            Op::DropView(..) => Order::DropView(view),
            Op::CloneView(..) => Order::CloneView { view, seed, keep: self.next + 1000 },
            _ => Order::Look { view, seed },
        };
        Some((seat, order))
    }

    fn object_order(&mut self, op: &Op) -> Option<(usize, Order)> {
        let keep = self.number();
        let key = |play: &Self, which: Which| play.key(which).map(|id| (id, play.seed(id)));
        let (who, order) = match op {
            Op::Put(who, len) => (who, Order::Put(self.content(*len))),
            Op::PutBatch(who, lens) => {
                (who, Order::PutBatch(lens.iter().map(|&len| self.content(len)).collect()))
            }
            Op::Get(who, which) => {
                let (id, seed) = key(self, *which)?;
                (who, Order::Get { id, seed, keep })
            }
            Op::Take(who, which) => {
                let (id, seed) = key(self, *which)?;
                (who, Order::Take { id, seed, keep })
            }
            Op::Wait(who, which, micros) => {
                let (id, seed) = key(self, *which)?;
                (who, Order::Wait { id, seed, keep, micros: *micros })
            }
            Op::Exists(who, which) => (who, Order::Exists(self.key(*which)?)),
            Op::Evict(who, which) => (who, Order::Evict(self.key(*which)?)),
            Op::Reserve(who) => (who, Order::Reserve),
            Op::Set(who, which, len) => {
                let id = self.key_in(*which, |state| matches!(state, State::Promised(_)))?;
                (who, Order::Set(id, self.content(*len)))
            }
            Op::Fail(who, which) => (who, Order::Fail(self.key(*which)?)),
            Op::Loan(who, len) => (who, Order::Loan { content: self.content(*len), keep }),
            Op::Bind(who, name, which) => {
                let there = |state| matches!(state, State::Ready | State::Promised(_));
                let name = &self.names[usize::from(*name) % self.names.len()];
                (who, Order::Bind(name.clone(), self.key_in(*which, there)?))
            }
            Op::Lookup(who, name) => (who, Order::Lookup(self.name(*name))),
            Op::Unbind(who, name) => (who, Order::Unbind(self.name(*name))),
            Op::Trim(who) => (who, Order::Trim),
            Op::Reap(who) => (who, Order::Reap),
            Op::Survey(who) => (who, Order::Check),
            other => unreachable!("{other:?} is ordered elsewhere"),
        };
        Some((self.user(*who)?, order))
    }

    /// Has a process obey, and keeps the states of affairs that its answer allows.
    fn tell(&mut self, seat: usize, order: &Order) -> Result<(), String> {
        let is_look = seat == 0 && matches!(order, Order::Check | Order::Keys);
        if !is_look {
            let _ = writeln!(self.script, "  process {seat}: {order:?}");
        }
        let reply = self.cast.tell(seat, order)?;
        note(order, &reply);
        if !is_look {
            let _ = writeln!(self.script, "    -> {reply:?}");
        }
        let life = self.lives[seat].unwrap();
        let worlds = std::mem::take(&mut self.worlds);
        let judged = |world: &Model| world.clone().judge(life, order, &reply);
        let mut after: Vec<_> = worlds.iter().flat_map(judged).collect();
        after.dedup();
        if after.is_empty() {
            let wrong = format!(
                "process {seat} was told {order:?} and answered {reply:?}, but {worlds:#?}"
            );
            self.worlds = worlds;
            return Err(wrong);
        }
        self.worlds = after;
        Ok(())
    }

    fn empty_seat(&self) -> Option<usize> {
        self.lives.iter().position(Option::is_none)
    }

    /// `false`: there was nobody to do it.
    fn change_cast(&mut self, op: &Op) -> Result<bool, String> {
        let extra = |who: Who| self.seat(who, |_| true).filter(|&seat| seat != 0);
        match *op {
            Op::Fork(who) => {
                let parent = self.seat(who, |_| true);
                let (Some(parent), Some(seat)) = (parent, self.empty_seat()) else {
                    return Ok(false);
                };
                self.tell(parent, &Order::Fork { seat })?;
                let (parent, child) = (self.lives[parent].unwrap(), self.number());
                self.lives[seat] = Some(child);
                self.worlds.iter_mut().for_each(|world| world.fork(parent, child));
            }
            Op::Arrive => {
                let Some(seat) = self.empty_seat().filter(|_| self.name.is_some()) else {
                    return Ok(false);
                };
                self.cast.arrive(seat)?;
                let life = self.number();
                self.lives[seat] = Some(life);
                for world in &mut self.worlds {
                    world.processes.insert(life, Process::new(Standing::Away));
                }
                let name = self.name.as_ref().unwrap().to_string();
                self.tell(seat, &Order::Open(name))?;
            }
            Op::Leave(who) => {
                let Some(seat) = extra(who) else { return Ok(false) };
                self.leave(seat)?;
            }
            Op::Exit(who) | Op::Kill(who) => {
                let Some(seat) = extra(who) else { return Ok(false) };
                let order = matches!(op, Op::Exit(_)).then_some(&Order::Exit);
                self.end(seat, order)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn leave(&mut self, seat: usize) -> Result<(), String> {
        self.tell(seat, &Order::Close)?;
        while let Some(view) = self.view(seat, 0) {
            self.tell(seat, &Order::DropView(view))?;
        }
        self.end(seat, Some(&Order::Quit))
    }

    fn end(&mut self, seat: usize, order: Option<&Order>) -> Result<(), String> {
        let _ = writeln!(self.script, "  process {seat}: {}", order.map_or("killed", |_| "ends"));
        self.cast.end(seat, order)?;
        let life = self.lives[seat].take().unwrap();
        self.worlds.iter_mut().for_each(|world| world.die(life));
        // Somebody who looks at the process from outside may keep its address space, and its locks, for a moment.
        let start = Instant::now();
        while !self.is_known_dead()? && start.elapsed() < Duration::from_secs(1) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Whether so much is broken as the dead left.
    fn is_known_dead(&mut self) -> Result<bool, String> {
        let Reply::Report(found) = self.cast.tell(0, &Order::Check)? else { return Ok(true) };
        Ok(self.worlds.iter().any(|world| found.violations.len() >= world.violations()))
    }

    /// When everybody has gone and everything is evicted, all of the region can be used.
    fn finish(&mut self) -> Result<(), String> {
        let _ = writeln!(self.script, "  the end");
        for seat in 1..SEATS {
            match self.lives[seat] {
                Some(_) if seat % 2 == 0 => self.leave(seat)?,
                Some(_) => self.end(seat, None)?,
                None => {}
            }
        }
        self.tell(0, &Order::Reap)?;
        for id in self.model().keys() {
            let (seed, keep) = (self.seed(id), self.number());
            self.tell(0, &Order::Wait { id, seed, keep, micros: 0 })?;
            self.tell(0, &Order::Evict(id))?;
        }
        while let Some(view) = self.view(0, 0) {
            self.tell(0, &Order::DropView(view))?;
        }
        while let Some(loan) = self.loan(0, 0) {
            self.tell(0, &Order::DropLoan(loan))?;
        }
        for name in self.names.clone() {
            self.tell(0, &Order::Unbind(name))?;
        }
        self.tell(0, &Order::Check)?;
        let report = self.cast.director.region.as_ref().unwrap().check();
        let report = report.map_err(|error| error.to_string())?;
        let rest = report.objects + report.retired + report.pending + report.in_progress;
        if !report.is_clean()
            || rest + report.names + report.pins + report.bytes_in_use > 0
            || report.participants != 1
        {
            return Err(format!("something is left: {report}"));
        }
        self.use_all()
    }

    fn use_all(&mut self) -> Result<(), String> {
        let region = self.cast.director.region.clone().unwrap();
        let said = |what: &str, error: inplace::Error| format!("{what}: {error}");
        let mut keys = Vec::new();
        for _ in 0..SLOTS {
            keys.push(region.put(b"").map_err(|error| said("a slot is lost", error))?);
        }
        if region.put(b"").is_ok() {
            return Err("there is a slot too many".into());
        }
        for key in keys {
            region.evict(key).map_err(|error| said("evict", error))?;
        }
        let loan = region.loan((UNITS * UNIT) as usize, Fingerprint::BYTES);
        loan.map(drop).map_err(|error| said("the whole capacity can not be had", error))
    }
}

//! What a process of the cast does through a store: bytes as they are, and values that are made anew and cached.

use inplace::codec::{Codec, Raw, Serde};
use inplace::connector::ShmConnector;
use inplace::{Error, Key, Region, Store};

use super::orders::{Access, Order, Reply};
use crate::support::payload;

pub fn open(region: &Region) -> Store<Raw> {
    let connector = ShmConnector::new(region.clone());
    Store::builder("sequence").connector(connector).cache_size(3).codec(Raw).open().unwrap()
}

pub fn obey(store: &Store<Raw>, (space, order): (u64, &Order)) -> Result<Reply, Error> {
    match order {
        Order::StorePut(content) => {
            let bytes = payload::make(content.seed, content.payload() as usize);
            let key = match content.is_value() {
                true => store.put_as(Serde, &bytes),
                false => store.put(&bytes[..]),
            };
            Ok(Reply::Made(vec![super::actor::id(key?)]))
        }
        Order::StoreEvict(id) => Ok(Reply::Yes(store.evict(Key::new(space, id.0))?)),
        Order::StoreGet { as_value: true, .. } => {
            find::<_, Vec<u8>>(&store.with_codec(Serde), (space, order))
        }
        order => find::<_, [u8]>(store, (space, order)),
    }
}

fn find<C, T: ?Sized>(store: &Store<C>, (space, order): (u64, &Order)) -> Result<Reply, Error>
where
    C: Codec<T>,
    C::Target: AsRef<[u8]>,
{
    let Order::StoreGet { id, seed, how, .. } = order else { unreachable!("{order:?}") };
    let key = Key::new(space, id.0);
    let seen =
        |bytes: &[u8]| Reply::Seen(Some((bytes.len() as u32, payload::blame(Some(*seed), bytes))));
    let view = match how {
        Access::Get => store.get::<T>(key)?,
        Access::Take => store.take::<T>(key)?,
        Access::Resolve => return Ok(seen(store.proxy_from_key::<T>(key).resolve()?.as_ref())),
        Access::ResolveAndEvict => {
            let proxy = store.proxy_from_key::<T>(key).evict_on_resolve().unwrap();
            return Ok(seen(proxy.resolve()?.as_ref()));
        }
    };
    Ok(view.map_or(Reply::Seen(None), |view| seen((*view).as_ref())))
}

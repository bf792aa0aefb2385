//! Operations of worker pools, killed at every instruction: see `support::steps`.
//!
//! Who submits is the pool's process: killed, it leaves nothing. Who serves is a worker: killed, it leaves its task to another,
//! and the result is there once.
#![cfg(target_arch = "x86_64")]

mod support;

use std::time::Duration;

use inplace::codec::Raw;
use inplace::connector::ShmConnector;
use inplace::{Error, Key, Proxy, Region, RegionOptions, Store, Task, Worker, WorkerPool};
use support::payload;
use support::steps::kill::{Case, Start, assert_empties, assert_recovers};
use support::steps::sweep::{Operation, sweep};

type Pool = WorkerPool<[u8], [u8], Raw>;
type Served = Worker<[u8], [u8], Raw>;

const NAME: &str = "pool";
const SMALL: usize = 48;
/// More than lies in a message.
const LARGE: usize = 300;
type Arrive = fn(World) -> Victim;

const NOW: Option<Duration> = Some(Duration::ZERO);
const SOON: Option<Duration> = Some(Duration::from_secs(20));

struct World {
    store: Store<Raw>,
    /// The survivor's.
    pool: Option<Pool>,
    task: Option<Task<[u8], Raw>>,
    /// What goes with its task.
    input: Option<Key>,
}

fn region(store: &Store<Raw>) -> Region {
    store.connector().as_shm().unwrap().region().unwrap().clone()
}

fn empty() -> World {
    let options = RegionOptions::new().capacity(16 << 16).max_objects(20).max_participants(6);
    let shm = ShmConnector::new(options.anonymous().unwrap());
    let store = Store::builder("scene").connector(shm).codec(Raw).open().unwrap();
    // Warm, so that the victim meets what is usual.
    let warm = store.put(&payload::make(1, LARGE)[..]).unwrap();
    assert!(store.evict(warm).unwrap());
    World { store, pool: None, task: None, input: None }
}

fn pool(store: &Store<Raw>) -> Pool {
    Pool::builder(store).name(NAME).queue(8).attempts(3).attached().unwrap()
}

/// With a task that is submitted.
fn given(len: usize) -> World {
    let world = empty();
    let pool = pool(&world.store);
    let task = pool.submit(&payload::make(1, len)).unwrap();
    World { pool: Some(pool), task: Some(task), ..world }
}

fn given_small() -> World {
    given(SMALL)
}

fn given_large() -> World {
    given(LARGE)
}

/// With an input that is to go.
fn given_by_proxy() -> World {
    let world = empty();
    let pool = pool(&world.store);
    let input = world.store.proxy(&payload::make(1, LARGE)[..]).unwrap();
    let (key, input) = (input.key(), input.evict_on_resolve().unwrap());
    let task = pool.submit_proxy(&input).unwrap();
    World { pool: Some(pool), task: Some(task), input: Some(key), ..world }
}

struct Victim {
    store: Store<Raw>,
    pool: Option<Pool>,
    task: Option<Task<[u8], Raw>>,
    worker: Option<Served>,
    proxy: Option<Proxy<[u8], Raw>>,
    small: Vec<u8>,
    large: Vec<u8>,
}

fn arrive(world: World) -> Victim {
    let World { store, pool, .. } = world;
    // The survivor's, which is not this process's.
    std::mem::forget(pool);
    let (small, large) = (payload::make(2, SMALL), payload::make(2, LARGE));
    Victim { store, pool: None, task: None, worker: None, proxy: None, small, large }
}

fn arrive_with_pool(world: World) -> Victim {
    let victim = arrive(world);
    let pool = pool(&victim.store);
    Victim { pool: Some(pool), ..victim }
}

fn arrive_with_proxy(world: World) -> Victim {
    let mut victim = arrive_with_pool(world);
    let lifetime = victim.store.process_lifetime().unwrap();
    let key = victim.store.put(&victim.large[..]).unwrap();
    lifetime.attach(key).unwrap();
    victim.proxy = Some(victim.store.proxy_from_key(key));
    victim
}

fn arrive_with_task(world: World) -> Victim {
    let mut victim = arrive_with_pool(world);
    submit_large(&mut victim);
    victim
}

fn arrive_with_result(world: World) -> Victim {
    let mut victim = arrive_with_task(world);
    let worker = Served::attach(&victim.store, NAME).unwrap();
    assert!(worker.serve_one(NOW, reversed).unwrap());
    victim.worker = Some(worker);
    victim
}

fn arrive_working(world: World) -> Victim {
    let victim = arrive(world);
    let worker = Served::attach(&victim.store, NAME).unwrap();
    Victim { worker: Some(worker), ..victim }
}

fn reversed(input: &[u8]) -> Result<Vec<u8>, String> {
    Ok(input.iter().rev().copied().collect())
}

fn make(victim: &mut Victim) {
    victim.pool = Some(pool(&victim.store));
}

fn submit_small(victim: &mut Victim) {
    victim.task = victim.pool.as_ref().unwrap().submit(&victim.small).ok();
}

fn submit_large(victim: &mut Victim) {
    victim.task = victim.pool.as_ref().unwrap().submit(&victim.large).ok();
}

fn submit_proxy(victim: &mut Victim) {
    let (pool, proxy) = (victim.pool.as_ref().unwrap(), victim.proxy.as_ref().unwrap());
    victim.task = pool.submit_proxy(proxy).ok();
}

fn take_result(victim: &mut Victim) {
    let task = victim.task.take().unwrap();
    let _ = task.wait(None);
}

fn let_go(victim: &mut Victim) {
    drop(victim.task.take());
}

fn serve(victim: &mut Victim) {
    let _ = victim.worker.as_ref().unwrap().serve_one(NOW, reversed);
}

fn fail(victim: &mut Victim) {
    let refuse = |_: &[u8]| Err::<Vec<u8>, _>("there are no more of them");
    let _ = victim.worker.as_ref().unwrap().serve_one(NOW, refuse);
}

/// The pool went with its process, and all that it owed and was given.
fn leaves_nothing(world: World) {
    let region = region(&world.store);
    assert_recovers(&region, 0..=1);
    assert_empties(&region, &[NAME]);
}

/// Another worker does what is left to do; the task has its result, once.
fn is_done(world: World, is_it: fn(&inplace::Result<Vec<u8>>) -> bool) {
    let World { store, pool, task, input } = world;
    let (region, task) = (region(&store), task.unwrap());
    region.reap().unwrap();
    let worker = Served::attach(&store, NAME).unwrap();
    let serve = || worker.serve_one(NOW, reversed).unwrap();
    while serve() {}
    assert!(task.is_done(), "the task is lost");
    let result = task.wait(SOON).map(|view| view.to_vec());
    assert!(is_it(&result), "{result:?}");
    assert!(!serve(), "it is there once more");
    if let Some(input) = input {
        assert!(!store.exists(input).unwrap(), "the input stays");
    }
    drop((task, worker));
    pool.unwrap().join().unwrap();
    assert_recovers(&region, 0..=1);
    assert_empties(&region, &[NAME]);
}

fn is_reversed(result: &inplace::Result<Vec<u8>>, len: usize) -> bool {
    let wanted = reversed(&payload::make(1, len)).unwrap();
    result.as_ref().is_ok_and(|result| *result == wanted)
}

fn is_done_small(world: World) {
    is_done(world, |result| is_reversed(result, SMALL));
}

fn is_done_large(world: World) {
    is_done(world, |result| is_reversed(result, LARGE));
}

fn is_failed_or_done(world: World) {
    is_done(world, |result| match result {
        Err(Error::Failed { message, .. }) => message == "there are no more of them",
        result => is_reversed(result, LARGE),
    });
}

fn killed() -> Vec<Operation> {
    let at = |what, start: Start<World, Victim>, operate, holds| -> Operation {
        Case::new(what, start, operate, holds).operation()
    };
    let alone: fn() -> World = empty;
    vec![
        at("submit", (alone, arrive_with_pool as Arrive), submit_small, leaves_nothing),
        at("submit, an object", (alone, arrive_with_pool), submit_large, leaves_nothing),
        at("submit, a proxy", (alone, arrive_with_proxy), submit_proxy, leaves_nothing),
        at("let go of a task", (alone, arrive_with_task), let_go, leaves_nothing),
        at("take a result", (alone, arrive_with_result), take_result, leaves_nothing),
        at("serve", (given_small, arrive_working), serve, is_done_small),
        at("serve, an object", (given_large, arrive_working), serve, is_done_large),
        at("serve, a proxy", (given_by_proxy, arrive_working), serve, is_done_large),
        at("serve, in vain", (given_large, arrive_working), fail, is_failed_or_done),
    ]
}

/// Long, for it starts a thread and fills two queues with zeros.
fn killed_before() -> Vec<Operation> {
    vec![Case::new("make", (empty, arrive as Arrive), make, leaves_nothing).operation()]
}

#[test]
fn killed_while_it_is_made_a_pool_leaves_nothing() {
    sweep("new pools", 2, &killed_before());
}

#[test]
fn killed_at_any_instruction_one_leaves_no_task_undone_and_nothing_behind() {
    sweep("pools", 6, &killed());
}

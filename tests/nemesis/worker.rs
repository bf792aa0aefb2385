//! What a process of a storm does: one step after the other, each drawn before it is taken, each answer judged.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use inplace::{Error, Fingerprint, Key, Loan, Pinned, Region};

use super::board::{Board, Counts, Lie, Me, PLACES, VARIANTS, Values};
use super::history::{Before, Object, Verdict};
use super::names::NAMES;
use super::patience::Patience;
use super::support::random::Random;

/// One decision, drawn whole: what comes of it draws nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    pub action: usize,
    place: usize,
    value: u16,
    name: usize,
    pub luck: u64,
}

impl Step {
    pub fn draw(random: &mut Random) -> Self {
        let mut random = random.split();
        let mut at = random.below(ACTIONS.iter().map(|action| action.weight).sum());
        let is_it = |action: &Action| {
            let found = at < action.weight;
            at = at.wrapping_sub(action.weight);
            found
        };
        Self {
            action: ACTIONS.iter().position(is_it).unwrap(),
            place: random.below(PLACES as u64) as usize,
            value: random.draw() as u16,
            name: random.below(NAMES as u64) as usize,
            luck: random.draw(),
        }
    }
}

type Outcome = Result<(), Error>;

/// One kind of step. To add one: a function, and a line here.
pub struct Action {
    pub name: &'static str,
    weight: u64,
    run: fn(&mut Worker, Step) -> Outcome,
}

const fn action(name: &'static str, weight: u64, run: fn(&mut Worker, Step) -> Outcome) -> Action {
    Action { name, weight, run }
}

pub const ACTIONS: [Action; 19] = [
    action("put", 200, Worker::put),
    action("get", 240, Worker::get),
    action("exists", 20, Worker::exists),
    action("evict", 70, Worker::evict),
    action("take", 60, Worker::take),
    action("loan", 30, Worker::loan),
    action("publish", 30, Worker::publish),
    action("batch", 20, Worker::batch),
    action("promise", 60, Worker::promise),
    action("set", 80, Worker::set),
    action("fail", 15, Worker::fail),
    action("wait", 30, Worker::wait),
    action("bind", 45, Worker::bind),
    action("unbind", 10, Worker::unbind),
    action("lookup", 65, Worker::lookup),
    action("keys", 2, Worker::keys),
    action("drop a view", 15, Worker::drop_a_view),
    action("trim", 4, Worker::trim),
    action("reap", 4, Worker::reap),
];

/// A thread at work on the region.
pub struct Worker {
    pub region: Region,
    pub board: &'static Board,
    pub me: Me,
    pub values: Values,
    pub lie: Lie,
    pub random: Random,
    pub patience: Patience,
    pub held: Vec<(Pinned, Option<u16>)>,
    pub loans: Vec<(Loan, u16)>,
    /// What it just does.
    step: Option<Step>,
}

/// Errors that a full region may give at any time.
fn is_shortage(error: &Error) -> bool {
    matches!(error, Error::OutOfSpace { .. } | Error::OutOfSlots { .. })
}

impl Worker {
    pub fn new(
        region: &Region,
        (board, values): (&'static Board, Values),
        me: Me,
        seed: u64,
    ) -> Self {
        Self {
            region: region.clone(),
            board,
            me,
            values,
            lie: Lie::None,
            random: Random::new(seed),
            patience: Patience::new(),
            held: Vec::new(),
            loans: Vec::new(),
            step: None,
        }
    }

    pub fn act(&mut self) -> Step {
        let step = Step::draw(&mut self.random);
        self.step = Some(step);
        let action = &ACTIONS[step.action];
        let stops = &self.board.stops[self.me.seat];
        self.patience.start(stops.load(SeqCst));
        let outcome = (action.run)(self, step);
        if self.lie == Lie::Dawdle {
            std::thread::sleep(super::patience::limit().mul_f64(1.2));
        }
        let verdict = self.patience.end(stops.load(SeqCst), step.action, &self.board.counts);
        self.judge(verdict);
        match outcome {
            Ok(()) => Counts::add(&self.board.done[step.action]),
            Err(error) if is_shortage(&error) => Counts::add(&self.board.counts.full),
            Err(error) => self.judge(Err(format!("unexpected: {error}"))),
        }
        step
    }

    /// Lets go of everything.
    pub fn rest(&mut self) {
        self.loans.clear();
        for (view, value) in std::mem::take(&mut self.held) {
            self.check_held(&view, value);
        }
    }

    /// After a fork, in the child: its views are its own, its parent's loans are not.
    pub fn become_child(&mut self, me: Me, seed: u64) {
        (self.me, self.random) = (me, Random::new(seed));
        self.held.iter().for_each(|(view, value)| self.check_held(view, *value));
        for (loan, _) in std::mem::take(&mut self.loans) {
            if let Ok(key) = loan.publish() {
                self.judge(Err(format!("a child published its parent's loan as {key}")));
            }
        }
    }

    /// Gets whatever there is.
    pub fn verify_all(&mut self) {
        self.step = None;
        for (object, value) in (0..PLACES).filter_map(|place| self.board.at(place)) {
            let before = self.board.history.look(object);
            match self.region.get(self.key(object)).unwrap() {
                Some(view) => self.saw(Some(before), view, Some(value)),
                None => self.judge(self.board.history.missed(before)),
            }
        }
    }

    fn judge(&self, verdict: Verdict) {
        self.board
            .judge(&(self.me, self.step.map(|step| ACTIONS[step.action].name), self.step), verdict);
    }

    fn key(&self, object: Object) -> Key {
        object.key(self.region.id())
    }

    fn pick(&self, step: Step) -> Option<(Before, u16)> {
        let (object, value) = self.board.at(step.place)?;
        Some((self.board.history.look(object), value))
    }

    fn may_be_dead(&self) -> impl Fn(u64) -> bool + use<> {
        let board = self.board;
        move |keeper| board.may_be_dead(keeper)
    }

    fn is_unbindable(&self) -> impl Fn(Object) -> bool + use<> {
        let board = self.board;
        move |object| board.history.may_be_unbindable(object, |keeper| board.may_be_dead(keeper))
    }

    /// A new object's key goes to where others find it, and what was there is evicted.
    fn announce(&mut self, key: Key, (place, value): (usize, u16)) -> Outcome {
        let object = Object::of(key);
        self.judge(self.board.history.born(object));
        self.judge(self.board.history.settled(object, self.values.canonical(value)));
        self.post(object, (place, value))
    }

    fn post(&mut self, object: Object, (place, value): (usize, u16)) -> Outcome {
        match self.board.replace(place, object, value) {
            Some((before, _)) => self.end(before),
            None => Ok(()),
        }
    }

    /// Evicts.
    fn end(&mut self, object: Object) -> Outcome {
        let history = &self.board.history;
        if self.lie == Lie::SilentEvict {
            return self.region.evict(self.key(object)).map(drop);
        }
        history.begin_end(object);
        let evicted = self.lie == Lie::FalseEvict || self.region.evict(self.key(object))?;
        self.judge(if evicted { history.ended(object) } else { history.not_evicted(object) });
        Ok(())
    }

    /// A view was got: it must be the value, now and for as long as it is held.
    fn saw(&mut self, before: Option<Before>, view: Pinned, value: Option<u16>) {
        Counts::add(&self.board.counts.verified);
        let named = match self.values.name(value, &view) {
            Ok(named) => named,
            Err(wrong) => return self.judge(Err(format!("{}: {wrong}", view.key()))),
        };
        let before = before.unwrap_or_else(|| self.board.history.look(Object::of(view.key())));
        if let Some(named) = named {
            self.judge(self.board.history.saw(before, named));
        }
        if self.step.is_some_and(|step| step.luck.is_multiple_of(3)) {
            self.held.push((view, named));
        }
        if self.held.len() > 6 {
            self.drop_view(0);
        }
    }

    fn drop_view(&mut self, at: usize) {
        if at < self.held.len() {
            let (view, value) = self.held.remove(at);
            self.check_held(&view, value);
        }
    }

    fn check_held(&self, view: &Pinned, value: Option<u16>) {
        let verdict = self.values.name(value, view).map(drop);
        self.judge(verdict.map_err(|wrong| format!("{}, held for a while: {wrong}", view.key())));
    }

    fn put(&mut self, step: Step) -> Outcome {
        let told = if self.lie == Lie::WrongValue { step.value ^ 1 << 15 } else { step.value };
        let key = self.region.put(&self.values.make(step.value))?;
        self.announce(key, (step.place, told))
    }

    fn batch(&mut self, step: Step) -> Outcome {
        let values: Vec<u16> = (0..5).map(|at| step.value.wrapping_add(at * 401)).collect();
        let items: Vec<Vec<u8>> = values.iter().map(|value| self.values.make(*value)).collect();
        let items: Vec<&[u8]> = items.iter().map(|item| &item[..item.len().min(70_000)]).collect();
        let is_cut = |at: usize| items[at].len() == 70_000;
        let keys = self.region.put_batch(&items)?;
        keys.into_iter().enumerate().try_for_each(|(at, key)| {
            if is_cut(at) {
                // Not the whole value.
                return self.region.evict(key).map(drop);
            }
            self.announce(key, ((step.place + at) % PLACES, values[at]))
        })
    }

    fn loan(&mut self, step: Step) -> Outcome {
        let bytes = self.values.make(step.value);
        let mut loan = self.region.loan(bytes.len(), Fingerprint::BYTES)?;
        loan.copy_from_slice(&bytes);
        self.loans.push((loan, step.value));
        if self.loans.len() > 2 {
            drop(self.loans.remove(0));
        }
        Ok(())
    }

    fn publish(&mut self, step: Step) -> Outcome {
        let Some((loan, value)) = self.loans.pop() else { return Ok(()) };
        let key = loan.publish()?;
        self.announce(key, (step.place, value))
    }

    fn promise(&mut self, step: Step) -> Outcome {
        let object = Object::of(self.region.reserve()?);
        self.judge(self.board.history.born(object));
        self.board.history.promised(object, self.me.keeper());
        self.post(object, (step.place, step.value))
    }

    fn get(&mut self, step: Step) -> Outcome {
        let Some((before, value)) = self.pick(step) else { return Ok(()) };
        match self.region.get(self.key(before.object))? {
            Some(view) => self.saw(Some(before), view, Some(value)),
            None => self.judge(self.board.history.missed(before)),
        }
        Ok(())
    }

    fn exists(&mut self, step: Step) -> Outcome {
        let Some((before, _)) = self.pick(step) else { return Ok(()) };
        let history = &self.board.history;
        let exists = self.region.exists(self.key(before.object))?;
        self.judge(if exists { history.is_or_was_there(before) } else { history.missed(before) });
        Ok(())
    }

    fn evict(&mut self, step: Step) -> Outcome {
        let Some((before, _)) = self.pick(step) else { return Ok(()) };
        self.end(before.object)
    }

    fn take(&mut self, step: Step) -> Outcome {
        let Some((before, value)) = self.pick(step) else { return Ok(()) };
        let history = &self.board.history;
        history.begin_end(before.object);
        match self.region.take(self.key(before.object))? {
            Some(view) => {
                self.judge(history.ended(before.object));
                self.saw(Some(before), view, Some(value));
                if self.lie == Lie::DoubleTake {
                    self.judge(history.ended(before.object));
                }
            }
            None => self.judge(history.not_taken(before)),
        }
        Ok(())
    }

    fn set(&mut self, step: Step) -> Outcome {
        let Some((before, value)) = self.pick(step) else { return Ok(()) };
        let (object, history) = (before.object, &self.board.history);
        let value = value / VARIANTS * VARIANTS + step.value % VARIANTS;
        history.begin_set(object);
        match self.region.set(self.key(object), &self.values.make(value)) {
            Ok(()) => self.judge(history.settled(object, self.values.canonical(value))),
            Err(Error::AlreadySet { .. }) => self.judge(history.was_set(before, 1)),
            other => return self.not_there(object, other),
        }
        Ok(())
    }

    /// Errors that say what an object is not.
    fn not_there(&self, object: Object, outcome: Outcome) -> Outcome {
        let history = &self.board.history;
        match outcome {
            Err(Error::NotFound { .. }) => self.judge(history.was_gone(object)),
            Err(Error::Broken { .. }) => {
                Counts::add(&self.board.counts.broken);
                self.judge(history.was_broken(object, self.may_be_dead()));
            }
            other => return other,
        }
        Ok(())
    }

    fn fail(&mut self, step: Step) -> Outcome {
        let Some((before, _)) = self.pick(step) else { return Ok(()) };
        let (object, history) = (before.object, &self.board.history);
        history.begin_fail(object);
        let outcome = self.region.fail(self.key(object));
        if outcome.is_ok() {
            history.failed(object);
            return Ok(());
        }
        history.not_failed(object);
        match outcome {
            Err(Error::AlreadySet { .. }) => self.judge(history.was_set(before, 0)),
            Err(Error::NotOwner { .. }) => {
                let is_mine = history.keeper(object) == Some(self.me.keeper());
                let is_wrong = is_mine && !history.may_have_ended(object);
                let what = || format!("{object:?} is this process's to fail");
                self.judge(super::history::blame(is_wrong, what));
            }
            other => return self.not_there(object, other),
        }
        Ok(())
    }

    fn wait(&mut self, step: Step) -> Outcome {
        let Some((before, value)) = self.pick(step) else { return Ok(()) };
        let limit = if step.luck.is_multiple_of(64) { 150_000 } else { 1500 };
        let timeout = Duration::from_micros(step.luck % limit);
        self.patience.allowed = timeout;
        match self.region.wait(self.key(before.object), Some(timeout)) {
            Ok(view) => self.saw(Some(before), view, Some(value)),
            Err(Error::TimedOut { .. }) => self.judge(self.board.history.missed(before)),
            Err(error) => return self.not_there(before.object, Err(error)),
        }
        Ok(())
    }

    fn bind(&mut self, step: Step) -> Outcome {
        let Some((before, _)) = self.pick(step) else { return Ok(()) };
        if self.lie == Lie::SilentBind {
            let bound = self.region.bind(&name(step.name), self.key(before.object));
            return if bound.is_ok() { self.lookup(step) } else { Ok(()) };
        }
        self.write_name(step.name, Some(before.object))
    }

    fn unbind(&mut self, step: Step) -> Outcome {
        self.write_name(step.name, None)
    }

    fn write_name(&mut self, at: usize, to: Option<Object>) -> Outcome {
        let (names, history) = (&self.board.names, &self.board.history);
        let Some(bind) = names.begin(at, to, history) else { return Ok(()) };
        let before = match to {
            Some(object) => self.region.bind(&name(at), self.key(object)),
            None => self.region.unbind(&name(at)),
        };
        if before.is_err() {
            names.in_vain(bind);
        }
        match (before, to) {
            (Ok(before), _) => {
                let judges = (history, &self.is_unbindable() as &dyn Fn(Object) -> bool);
                self.judge(names.over(bind, before.map(Object::of), judges));
            }
            (Err(Error::NotFound { .. }), Some(object)) => {
                let is_wrong = !self.is_unbindable()(object);
                let what = || format!("{object:?} is there, and can not be bound");
                self.judge(super::history::blame(is_wrong, what));
            }
            (Err(error), _) => return Err(error),
        }
        Ok(())
    }

    fn lookup(&mut self, step: Step) -> Outcome {
        let (names, history) = (&self.board.names, &self.board.history);
        let known = names.look(step.name, history);
        let key = self.region.lookup(&name(step.name))?;
        let judges = (history, &self.is_unbindable() as &dyn Fn(Object) -> bool);
        self.judge(names.found(known, key.map(Object::of), judges));
        let Some(key) = key else { return Ok(()) };
        let before = history.look(Object::of(key));
        match self.region.get(key)? {
            Some(view) => self.saw(Some(before), view, None),
            None => self.judge(history.missed(before)),
        }
        Ok(())
    }

    /// The list of keys holds what was there and stays, and nothing that was gone.
    fn keys(&mut self, _: Step) -> Outcome {
        let history = &self.board.history;
        let known: Vec<Before> =
            (0..PLACES).filter_map(|at| self.board.at(at)).map(|(o, _)| history.look(o)).collect();
        let listed = self.region.keys()?;
        let listed: std::collections::HashSet<Object> =
            listed.into_iter().map(Object::of).collect();
        for before in known {
            let is_listed = listed.contains(&before.object);
            self.judge(if is_listed { history.was_listed(before) } else { history.missed(before) });
        }
        Ok(())
    }

    fn drop_a_view(&mut self, step: Step) -> Outcome {
        self.drop_view(step.luck as usize % self.held.len().max(1));
        Ok(())
    }

    fn trim(&mut self, _: Step) -> Outcome {
        // Hundreds of system calls, each behind whoever just writes to the file.
        self.patience.allowed = Duration::from_secs(20);
        self.region.trim().map(drop)
    }

    fn reap(&mut self, _: Step) -> Outcome {
        self.region.reap().map(drop)
    }
}

pub fn name(at: usize) -> String {
    format!("name {at}")
}

//! Whether an answer is one the model allows, and what is so after it.

use super::model::{
    Entries, Flaw, Life, Model, Process, Standing, State, UNITS, bucket_block, bucket_of,
};
use super::orders::{Access, Content, Id, Order, Refusal, Reply, Token};
use super::space::{Block, Fit, UNIT, least};

/// What an attempt to claim memory comes to.
struct Plan {
    demand: Vec<Block>,
    with_slots: bool,
    then: Then,
}

/// What is so after success; `false`: the answer was not as it should be.
type Then = Box<dyn Fn(&mut Model, &Reply) -> bool>;

/// A plan, or what is answered before any memory is claimed.
type Attempt = Result<Plan, Reply>;

fn refused(refusal: Refusal) -> Reply {
    Reply::Refused(refusal)
}

fn objects(items: Vec<Content>, state: State) -> Plan {
    let block = |content: &Content| Block::of(content.len.into());
    let demand = items.iter().map(block).collect();
    let then = move |model: &mut Model, reply: &Reply| {
        let Reply::Made(ids) = reply else { return false };
        let made =
            |(&id, &content): (&Id, &Content)| model.make(id, state, (content, block(&content)));
        ids.len() == items.len() && ids.iter().zip(&items).all(made)
    };
    Plan { demand, with_slots: true, then: Box::new(then) }
}

impl Model {
    /// The states of affairs in which a process can be given this answer; none: it is wrong.
    pub fn judge(mut self, life: Life, order: &Order, reply: &Reply) -> Vec<Self> {
        if !matches!(order, Order::Check | Order::Keys) {
            self.is_trimmed = false;
        }
        match order {
            Order::DropView(_) | Order::DropLoan(_) | Order::Close | Order::Fork { .. } => {
                self.let_go(life, order, reply)
            }
            Order::Publish { loan, prefix, .. } => self.published(life, (*loan, *prefix), reply),
            Order::Open(_) => self.opened(life, reply),
            _ if self.processes[&life].standing == Standing::Severed => {
                self.only(*reply == refused(Refusal::Severed))
            }
            Order::Put(_)
            | Order::PutBatch(_)
            | Order::Reserve
            | Order::Set(..)
            | Order::Loan { .. }
            | Order::Bind(..)
            | Order::Unbind(_) => self.attempted(reply, &|model| model.plan(life, order)),
            Order::StorePut(content) => self.stored(*content, reply),
            order => self.asked(life, order, reply),
        }
    }

    fn only(self, is_right: bool) -> Vec<Self> {
        if is_right { vec![self] } else { Vec::new() }
    }

    fn reaped(&self) -> Self {
        let mut reaped = self.clone();
        reaped.reap();
        reaped
    }

    /// Memory is claimed; when there is none, once more after the dead were reaped.
    fn attempted(self, reply: &Reply, plan: &dyn Fn(&Self) -> Attempt) -> Vec<Self> {
        let mut worlds = Vec::new();
        let mut succeed = |model: &Self, plan: &Plan| {
            let mut after = model.clone();
            let fits = model.fit(&plan.demand, plan.with_slots) != Fit::Never;
            if fits && !matches!(reply, Reply::Refused(_)) && (plan.then)(&mut after, reply) {
                worlds.push(after);
            }
        };
        match plan(&self) {
            Err(settled) => return self.only(settled == *reply),
            Ok(plan) => {
                succeed(&self, &plan);
                if self.fit(&plan.demand, plan.with_slots) == Fit::Must {
                    return worlds;
                }
            }
        }
        let reaped = self.reaped();
        let refused = match plan(&reaped) {
            Err(settled) => settled == *reply,
            Ok(plan) => {
                if self.dead() > 0 {
                    succeed(&reaped, &plan);
                }
                reaped.may_refuse(&plan, reply)
            }
        };
        if refused {
            worlds.push(reaped);
        }
        worlds
    }

    /// A store guesses how large a block it needs, and what it got is seen at the next look.
    fn stored(self, content: Content, reply: &Reply) -> Vec<Self> {
        let exact = Block::of(content.len.into());
        let reaped = self.reaped();
        let Reply::Made(ids) = reply else {
            let then: Then = Box::new(|_, _| true);
            let plan = Plan { demand: vec![exact], with_slots: true, then };
            let is_right = reaped.may_refuse(&plan, reply);
            return reaped.only(is_right);
        };
        let mut worlds = Vec::new();
        for model in [&self, &reaped].into_iter().take(1 + self.dead().min(1)) {
            for block in exact.and_larger(UNITS) {
                let mut after = model.clone();
                if model.fit(&[block], true) != Fit::Never
                    && ids.len() == 1
                    && after.make(ids[0], State::Ready, (content, block))
                {
                    worlds.push(after);
                }
            }
        }
        worlds
    }

    fn found(&mut self, (id, as_value, how): (Id, bool, Access), reply: &Reply) -> bool {
        let object = self.objects[&id];
        let takes = matches!(how, Access::Take | Access::ResolveAndEvict);
        *reply
            == match how {
                Access::Get | Access::Take if object.state != State::Ready => Reply::Seen(None),
                _ if object.state != State::Ready => refused(Refusal::NotFound),
                _ if object.content.is_value() != as_value => refused(Refusal::TypeMismatch),
                _ => {
                    if takes {
                        self.change(id, State::Evicted);
                    }
                    Reply::Seen(Some((object.content.payload(), None)))
                }
            }
    }

    fn may_refuse(&self, plan: &Plan, reply: &Reply) -> bool {
        let slots = if plan.with_slots { self.free_slots() } else { plan.demand.len() };
        let served = &plan.demand[..slots.min(plan.demand.len())];
        let fit = self.fit(served, plan.with_slots);
        match reply {
            Reply::Refused(Refusal::OutOfSlots) => {
                served.len() < plan.demand.len() && fit != Fit::Never
            }
            Reply::Refused(Refusal::OutOfSpace) => fit != Fit::Must,
            _ => false,
        }
    }

    fn plan(&self, life: Life, order: &Order) -> Attempt {
        let nothing = Content { seed: 0, len: 0 };
        Ok(match order.clone() {
            Order::Put(content) => objects(vec![content], State::Ready),
            Order::PutBatch(items) => objects(items, State::Ready),
            Order::Reserve => objects(vec![nothing], State::Promised(life)),
            Order::Set(id, content) => {
                self.settable(id)?;
                let then = move |model: &mut Self, reply: &Reply| {
                    model.set(id, content);
                    *reply == Reply::Done
                };
                let demand = vec![Block::of(content.len.into())];
                Plan { demand, with_slots: false, then: Box::new(then) }
            }
            Order::Loan { content, keep } => {
                let then = move |model: &mut Self, reply: &Reply| {
                    model.lend(life, keep, content);
                    *reply == Reply::Done
                };
                let demand = vec![Block::of(content.len.into())];
                Plan { demand, with_slots: true, then: Box::new(then) }
            }
            Order::Bind(name, id) if self.is_bindable(id) => self.rebinding(name, Some(id)),
            Order::Bind(..) => return Err(refused(Refusal::NotFound)),
            Order::Unbind(name) => {
                let entries = self.buckets.get(&bucket_of(&name)).into_iter().flatten();
                if !entries.map(|(bound, _)| bound).any(|bound| *bound == name) {
                    return Err(Reply::Means(None));
                }
                self.rebinding(name, None)
            }
            other => unreachable!("{other:?} claims nothing"),
        })
    }

    fn settable(&self, id: Id) -> Result<(), Reply> {
        Err(refused(match self.objects[&id].state {
            State::Promised(_) => return Ok(()),
            State::Ready => Refusal::AlreadySet,
            State::Broken => Refusal::Broken,
            State::Evicted => Refusal::NotFound,
        }))
    }

    fn rebinding(&self, name: String, target: Option<Id>) -> Plan {
        let (bucket, before) = (bucket_of(&name), self.means(&name));
        let mut entries: Entries = self.entries(bucket);
        entries.retain(|(bound, _)| *bound != name);
        entries.extend(target.map(|id| (name, id)));
        let demand = vec![bucket_block(&entries)];
        let then = move |model: &mut Self, reply: &Reply| {
            if target.is_none() && model.flaw == Some(Flaw::UnbindIsForgotten) {
            } else if entries.is_empty() {
                model.buckets.remove(&bucket);
            } else {
                model.buckets.insert(bucket, entries.clone());
            }
            *reply == Reply::Means(before)
        };
        Plan { demand, with_slots: true, then: Box::new(then) }
    }

    /// A view of an object, or why there is none.
    fn viewed(&mut self, life: Life, (id, keep): (Id, Token), reply: &Reply) -> bool {
        let content = self.objects[&id].content;
        self.process(life).views.insert(keep, id);
        *reply == Reply::Seen(Some((content.len, None)))
    }

    fn asked(mut self, life: Life, order: &Order, reply: &Reply) -> Vec<Self> {
        let state = |model: &Self, id: &Id| model.objects[id].state;
        let is_right = match order {
            Order::Get { id, .. } | Order::Take { id, .. } if state(&self, id) != State::Ready => {
                *reply == Reply::Seen(None)
            }
            Order::Get { id, keep, .. } => self.viewed(life, (*id, *keep), reply),
            Order::Take { id, keep, .. } => {
                self.change(*id, State::Evicted);
                self.viewed(life, (*id, *keep), reply)
            }
            Order::Wait { id, keep, micros, .. } => {
                return self.waited(life, (*id, *keep, *micros), reply);
            }
            Order::CloneView { view, keep, .. } => {
                let id = self.processes[&life].views[view];
                self.viewed(life, (id, *keep), reply)
            }
            Order::Look { view, .. } => {
                let id = self.processes[&life].views[view];
                *reply == Reply::Seen(Some((self.objects[&id].content.len, None)))
            }
            Order::Exists(id) => *reply == Reply::Yes(state(&self, id) == State::Ready),
            Order::StoreGet { id, as_value, how, .. } => self.found((*id, *as_value, *how), reply),
            Order::Evict(id) | Order::StoreEvict(id) => {
                let there = state(&self, id) != State::Evicted;
                self.change(*id, State::Evicted);
                *reply == Reply::Yes(there)
            }
            Order::Fail(id) => match state(&self, id) {
                State::Promised(keeper) if keeper == life => {
                    self.change(*id, State::Broken);
                    *reply == Reply::Done
                }
                State::Promised(_) => *reply == refused(Refusal::NotOwner),
                State::Broken => *reply == Reply::Done,
                State::Ready => *reply == refused(Refusal::AlreadySet),
                State::Evicted => *reply == refused(Refusal::NotFound),
            },
            Order::Lookup(name) => *reply == Reply::Means(self.means(name)),
            Order::Reap => {
                let dead = self.dead() as u64;
                self.reap();
                *reply == Reply::Count(dead)
            }
            order => self.measured(order, reply),
        };
        self.only(is_right)
    }

    fn measured(&mut self, order: &Order, reply: &Reply) -> bool {
        match (order, reply) {
            (Order::Trim, Reply::Count(bytes)) => {
                let most = UNITS - least(&self.held_blocks());
                self.is_trimmed = true;
                bytes % UNIT == 0 && *bytes <= most * UNIT
            }
            (Order::Keys, Reply::Listed(ids)) => *ids == self.keys(),
            (Order::Check, Reply::Report(found)) => {
                let mut comparable = found.clone();
                comparable.bytes_committed = 0;
                comparable.violations.iter_mut().for_each(String::clear);
                comparable == self.summary() && self.may_commit(found.bytes_committed)
            }
            _ => false,
        }
    }

    fn waited(
        mut self,
        life: Life,
        (id, keep, micros): (Id, Token, u64),
        reply: &Reply,
    ) -> Vec<Self> {
        let refusal = match self.objects[&id].state {
            State::Ready => {
                let is_right = self.viewed(life, (id, keep), reply);
                return self.only(is_right);
            }
            State::Broken => Refusal::Broken,
            State::Evicted => Refusal::NotFound,
            State::Promised(_) => {
                // Who waits in vain reaps the dead, unless the time is up before it sleeps.
                let reaped = self.reaped();
                let in_time = self.only(*reply == refused(Refusal::TimedOut));
                let refusal = match reaped.objects[&id].state {
                    State::Broken => Refusal::Broken,
                    _ => Refusal::TimedOut,
                };
                let slept = reaped.only(micros > 0 && *reply == refused(refusal));
                return in_time.into_iter().chain(slept).collect();
            }
        };
        self.only(*reply == refused(refusal))
    }

    /// What also a process that is severed can do.
    fn let_go(mut self, life: Life, order: &Order, reply: &Reply) -> Vec<Self> {
        match order {
            Order::DropView(view) => self.drop_view(life, *view),
            Order::DropLoan(loan) => drop(self.process(life).loans.remove(loan)),
            Order::Close => self.close(life),
            // The child was given its life before.
            _ => return self.only(matches!(reply, Reply::Forked(_))),
        }
        self.only(*reply == Reply::Done)
    }

    fn published(
        mut self,
        life: Life,
        (loan, prefix): (Token, Option<u32>),
        reply: &Reply,
    ) -> Vec<Self> {
        let process = self.process(life);
        let lent = process.loans[&loan];
        if !lent.mine || process.standing == Standing::Severed {
            process.loans.remove(&loan);
            return self.only(*reply == refused(Refusal::NotOwner));
        }
        let Reply::Made(ids) = reply else { return Vec::new() };
        let len = prefix.unwrap_or(u32::MAX).min(lent.content.len);
        let is_right = ids.len() == 1 && self.publish(life, (loan, ids[0]), len);
        self.only(is_right)
    }

    fn opened(mut self, life: Life, reply: &Reply) -> Vec<Self> {
        // Whoever attaches reaps.
        self.reap();
        let is_member = self.processes[&life].standing == Standing::Member;
        if !is_member && self.entries_taken() == self.participants {
            return self.only(*reply == refused(Refusal::OutOfParticipants));
        }
        if is_member {
            self.process(life).has_handle = true;
        } else {
            // What a severed process inherited stays good for nothing.
            self.processes.insert(life, Process::new(Standing::Member));
        }
        self.only(*reply == Reply::Done)
    }
}

//! M12: a variable with an owner: set by it alone, handed over, sent to a queue and received, evicted (`protocol::bond`,
//! `protocol::variable`, `protocol::queue::owned`). One variable, its versions, one envelope.
//!
//! set      S1 claim slot n · S0 pin the variable · S2 old = cur · S2o load word: not VARIABLE? gone. BOUND, and not to me, or OFFERED?
//!          refused · S3 n.link = old, pin n, READY(me) · S4 CAS cur old -> n; lost: from S2, S2o again, n.link = old
//!          S5 evict old · S6 n.link = none · S7 unpin n, then the variable; last and RETIRED: RECLAIMING, evict cur, gone
//! bind     CAS VARIABLE, no owner -> VARIABLE(me, BOUND)       lift  CAS VARIABLE(me, BOUND) -> VARIABLE, no owner
//! offer    CAS VARIABLE(me, BOUND) -> (me, BOUND, OFFERED)     adopt CAS VARIABLE(s, BOUND, OFFERED) -> VARIABLE(me, BOUND)
//! evict    mine: CAS VARIABLE(me, BOUND) -> RETIRED; by its key: from VARIABLE, whatever owner and flags say
//! send     P1 CAS envelope EMPTY -> OWNED(me) · P2a it names the variable · P2b CAS VARIABLE(me, BOUND) -> VARIABLE(BOUND, OFFERED), no
//!          owner; lost: names nothing, EMPTY · P5 sent
//! receive  C5 CAS sent -> TAKEN(me) · then give back: sent · ack: A1 ACKED(me), A2 evict what it names, A3 it names nothing, A4 EMPTY
//!          · adopt: A1 ACKED(me), A2o CAS VARIABLE(BOUND, OFFERED), no owner -> VARIABLE(me, BOUND), A3, A4
//! reap     per slot, in any order: a version: M4's, its count · the variable: count, RETIRED? reclaim, H1 H2 BOUND to the dead?
//!          CAS -> RETIRED · the envelope: OWNED: evict what it names, EMPTY · TAKEN: sent · ACKED: A2 to A4
//!
//! Who evicts what an envelope names leaves what is bound to another than it acts for.
//! A set that succeeds counts as of an instant at which its process might set, and at which what it replaces was current already.
//! Numbers of offers and of participants used again are M9's and M8's; evict and unpin of versions with their reclaim are one step (M1).
use mc::*;

const NT: usize = 4;
const NP: usize = 3;
const NV: usize = 3;
const NO: u8 = 9;
const ENV: u8 = 8; // by: the envelope
const NONE: u8 = 99;
const EMPTY: u8 = 98;
fn key(slot: usize, gen: u8) -> u8 { slot as u8 * 8 + gen }
fn sl(k: u8) -> usize { k as usize / 8 }

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Vs { Var, Retired, Reclaiming, Gone }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Word { st: Vs, own: u8, bound: bool, off: bool }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum St { Free, Writing, Ready, Retired }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Slot { gen: u8, st: St, own: u8, link: u8 }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Stage { Empty, Owned, Sent, Taken, Acked }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Env { st: Stage, own: u8, names: bool }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Life { Live, Dead, Reaped }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Pc { Idle, Crashed, S0, S2, S2o, S3, S3Ready, S4, S4Load, S4o, S4Link, S5, S6, S7n, S7v, Undo, Undo6,
    Bind, Lift, Offer, Adopt, Mine, P2a, P2b, P2c, P5, Got, A2o, N1, N2, A3, A4, TCas, C6, TFree,
    Rp, RpLoad, RpOld, RpNew, RpRow, RvCount, RvReclaim, H1, H2, H2Key, Re, RpEnd }
use Pc::*;
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Th { pc: Pc, n: u8, old: u8, w: Word, pin_n: u8, pin_v: bool, left: u8, dead: u8, i: u8, x: u8, act: u8, back: Pc }
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct S { w: Word, cur: u8, v: [Slot; NV], e: Env, life: [Life; NP], lock: [u8; NP], th: [Th; NT], crashes: u8,
           by: u8, may: [bool; NP], keyed: bool, bad: u8 } // by: who answers for it, NO: nobody; may: who might have set it since it has this version

const FREE: Word = Word { st: Vs::Var, own: NO, bound: false, off: false };
fn idle(left: u8) -> Th { Th { pc: Idle, n: NONE, old: NONE, w: FREE, pin_n: NONE, pin_v: false, left, dead: NO, i: 0, x: NONE, act: NO, back: Idle } }
/// Roles: s set, b bind, u lift, o offer, a adopt, m evict mine, e evict by key, q send, g receive and adopt, k receive and acknowledge or give back, r reap.
struct M { role: [&'static str; NT], of: [u8; NT], quota: u8, owner: u8, order: [u8; 3], crashes: u8, mutant: &'static str }
struct At<'a> { m: &'a M, s: &'a S, t: usize, out: &'a mut Vec<Step<S>> }

impl S {
    fn pinned(&self, k: u8) -> bool { self.th.iter().any(|t| t.pin_n == k) }
    fn reclaim(&mut self, i: usize) { let x = self.v[i]; if x.st == St::Retired && !self.pinned(key(i, x.gen)) { self.v[i] = Slot { gen: x.gen + 1, st: St::Free, own: NO, link: x.link } } }
    fn ready(&self, k: u8) -> bool { k != NONE && self.v[sl(k)].st == St::Ready && key(sl(k), self.v[sl(k)].gen) == k }
    fn evict(&mut self, k: u8) { if self.ready(k) { self.v[sl(k)].st = St::Retired; self.reclaim(sl(k)) } }
    fn live(&self, p: u8) -> bool { p < NP as u8 && self.life[p as usize] == Life::Live }
    fn may_set(&self, p: usize) -> bool { self.w.st == Vs::Var && (!self.w.bound || self.w.own == p as u8 && !self.w.off) }
    fn sent(&self) -> bool { self.w.st == Vs::Var && self.w.bound && self.w.off && self.w.own == NO }
    fn bond(&mut self, own: u8, off: bool, by: u8) { self.w = Word { st: Vs::Var, own, bound: true, off }; self.by = by }
    /// To RETIRED, then what a reclaim does. `who`: on whose behalf, NO: by its key.
    fn retire(&mut self, t: usize, who: u8, act: u8, back: Pc) {
        if who != NO && self.by != NO && self.by != who && (self.by == ENV || self.live(self.by)) { self.bad = 1 }
        self.keyed |= who == NO;
        self.w = Word { st: Vs::Retired, own: self.w.own, bound: false, off: false };
        self.by = NO;
        let th = &mut self.th[t];
        (th.act, th.back, th.pc) = (act, back, TCas);
    }
}

impl At<'_> {
    fn is(&self, x: &str) -> bool { self.m.mutant == x }
    fn go(&mut self, what: &'static str, arg: u8, f: impl Fn(&mut S, usize)) {
        let mut n = self.s.clone();
        f(&mut n, self.t);
        for p in 0..NP { if n.may_set(p) { n.may[p] = true } }
        self.out.push(Step { who: self.t as u8, what, arg: if arg == NO { -1 } else { arg as i32 }, crash: false, to: n });
    }
    fn step(&mut self) {
        match self.s.th[self.t].pc {
            Crashed => {}
            Idle => self.idle(),
            S0 | S2 | S2o | S3 | S3Ready | S4 | S4Load | S4o | S4Link | S5 | S6 | S7n | S7v | Undo | Undo6 => self.set(),
            Bind | Lift | Offer | Adopt | Mine => self.bond(),
            P2a | P2b | P2c | P5 | Got | A2o | N1 | N2 | A3 | A4 => self.queue(),
            TCas | C6 | TFree => self.reclaim(),
            _ => self.reap(),
        }
    }
    fn idle(&mut self) {
        let (s, t) = (self.s, self.t);
        let (p, w) = (self.m.of[t], s.w);
        let can = |c: char| self.m.role[t].contains(c);
        let (var, mine) = (w.st == Vs::Var, w.bound && w.own == p && !w.off);
        let free = (0..NV).find(|&k| s.v[k].st == St::Free && s.v[k].gen < 3);
        let (sets, binds, lifts) = (can('s') && s.th[t].left > 0 && var, can('b') && var && (!w.bound || self.is("bind_takes_what_was_sent") && s.sent()), can('u') && var && mine);
        let (offers, adopts, evicts, by_key) = (can('o') && var && mine, can('a') && var && w.off && (w.own != NO || self.is("token_takes_what_was_sent")), can('m') && var && mine, can('e') && var);
        let sends = can('q') && s.e.st == Stage::Empty && var && (mine || self.is("sends_what_is_anothers") || self.is("envelope_evicts_anothers"));
        let takes = (can('g') || can('k')) && s.e.st == Stage::Sent;
        let reaps = can('r');
        if sets { if let Some(k) = free { self.go("set: S1 slot FREE -> WRITING(me)", k as u8, move |n, t| { n.v[k] = Slot { st: St::Writing, own: p, ..n.v[k] }; let th = &mut n.th[t]; th.left -= 1; th.n = key(k, n.v[k].gen); th.pc = S0 }) } }
        for (does, what, pc) in [(binds, "bind: load word", Bind), (lifts, "lift: load word", Lift), (offers, "offer: load word", Offer), (adopts, "adopt: load word", Adopt), (evicts, "evict mine: load word", Mine)] {
            if does { self.go(what, NO, move |n, t| { n.th[t].w = w; n.th[t].pc = pc }) }
        }
        if by_key { self.go("evict by its key", NO, move |n, t| n.retire(t, NO, p, Idle)) }
        let late = self.is("named_after_sent");
        if sends { self.go("send: P1 envelope EMPTY -> OWNED(me)", NO, move |n, t| { n.e = Env { st: Stage::Owned, own: p, names: false }; n.th[t].pc = if late { P2b } else { P2a } }) }
        if takes { self.go("receive: C5 sent -> TAKEN(me)", NO, move |n, t| { n.e = Env { st: Stage::Taken, own: p, ..n.e }; n.th[t].pc = Got }) }
        for d in 0..NP as u8 {
            if reaps && s.life[d as usize] == Life::Dead && s.lock[d as usize] == NO { self.go("reap: elected", d, move |n, t| { n.lock[d as usize] = t as u8; let th = &mut n.th[t]; th.dead = d; th.i = 0; th.pc = Rp }) }
        }
    }
    fn done(th: &mut Th) { *th = Th { pin_n: th.pin_n, pin_v: th.pin_v, ..idle(th.left) } }
    fn set(&mut self) {
        let (s, t) = (self.s, self.t);
        let (th, p, w) = (s.th[t].clone(), self.m.of[t], s.w);
        let i = sl(th.n);
        let free = move |n: &mut S| n.v[i] = Slot { gen: n.v[i].gen + 1, st: St::Free, own: NO, ..n.v[i] };
        let (nobody, retired) = (self.is("asks_nobody"), self.is("retired_is_everybodys"));
        let refused = !nobody && ((w.st != Vs::Var && !retired) || w.bound && !(w.own == p && !w.off));
        let early = self.is("asked_before_it_reads");
        match th.pc {
            S0 => self.go("set: S0 pin the variable", NO, move |n, t| if n.w.st == Vs::Var { n.th[t].pin_v = true; n.th[t].pc = if early { S2o } else { S2 } } else { free(n); Self::done(&mut n.th[t]) }),
            S2 => self.go("set: S2 load cur", s.cur, move |n, t| { n.th[t].old = n.cur; n.th[t].pc = if early { S3 } else { S2o } }),
            S2o => self.go("set: S2o may I?", !refused as u8, move |n, t| if refused { free(n); n.th[t].pc = S7v } else { n.th[t].pc = if early { S2 } else { S3 } }),
            S3 => self.go("set: S3 link = predecessor, pin n", th.n, move |n, t| { n.v[i].link = th.old; n.th[t].pin_n = th.n; n.th[t].pc = S3Ready }),
            S3Ready => self.go("set: S3 READY(me)", th.n, move |n, t| { n.v[i].st = St::Ready; n.th[t].pc = S4 }),
            S4 => self.go("set: S4 CAS cur predecessor -> new", (s.cur == th.old) as u8, move |n, t| if n.cur == th.old {
                if !n.may[p as usize] { n.bad = 2 }
                n.may = [false; NP];
                n.cur = th.n;
                n.th[t].pc = S5
            } else { n.th[t].pc = if early { S4o } else { S4Load } }),
            S4Load => self.go("set: S4 lost: load cur", s.cur, move |n, t| { n.th[t].old = n.cur; n.th[t].pc = if early { S4Link } else { S4o } }),
            S4o => { let refused = refused && !self.is("not_asked_again"); self.go("set: S2o may I still?", !refused as u8, move |n, t| n.th[t].pc = if refused { Undo } else if early { S4Load } else { S4Link }) }
            S4Link => self.go("set: link = predecessor", th.old, move |n, t| { n.v[i].link = th.old; n.th[t].pc = S4 }),
            S5 => self.go("set: S5 evict the predecessor", th.old, move |n, t| { n.evict(th.old); n.th[t].pc = S6 }),
            S6 | Undo6 => self.go("set: S6 link = none", th.n, move |n, t| { n.v[i].link = NONE; n.th[t].pc = S7n }),
            Undo => self.go("set: refused: evict mine", th.n, move |n, t| { n.evict(th.n); n.th[t].pc = Undo6 }),
            S7n => self.go("set: S7 unpin n", th.n, move |n, t| { n.th[t].pin_n = NONE; n.reclaim(i); n.th[t].pc = S7v }),
            _ => self.go("set: S7 unpin the variable", NO, move |n, t| { n.th[t].pin_v = false; n.th[t].act = p; n.th[t].back = Idle; n.th[t].pc = TCas }),
        }
    }
    fn bond(&mut self) {
        let (s, t) = (self.s, self.t);
        let (th, p) = (s.th[t].clone(), self.m.of[t]);
        let is_it = s.w == th.w;
        let any = self.is("adopt_by_store") && th.pc == Adopt && s.w.st == Vs::Var;
        match th.pc {
            Mine => self.go("evict mine: CAS -> RETIRED", is_it as u8, move |n, t| if is_it { n.retire(t, p, p, Idle) } else { Self::done(&mut n.th[t]) }),
            pc => self.go("bond: CAS", (is_it || any) as u8, move |n, t| {
                if is_it || any { match pc {
                    Lift => { n.w = FREE; n.by = NO }
                    Offer => n.bond(p, true, p),
                    _ => { if any && !is_it && (n.by == ENV || n.live(n.by)) && n.by != p { n.bad = 1 } n.bond(p, false, p) }
                } }
                Self::done(&mut n.th[t]) }),
        }
    }
    fn queue(&mut self) {
        let (s, t) = (self.s, self.t);
        let (th, p, w) = (s.th[t].clone(), self.m.of[t], s.w);
        let (late, early, stays) = (self.is("named_after_sent"), self.is("adopted_before_acknowledged"), self.is("stays_named"));
        let mine = w.st == Vs::Var && w.bound && w.own == p && !w.off;
        let act = if th.dead != NO { th.dead } else { p };
        match th.pc {
            P2a => self.go("send: P2a the envelope names it", NO, move |n, t| { n.e.names = true; n.th[t].pc = if late { P5 } else { P2b } }),
            P2b => self.go("send: P2b CAS (me, BOUND) -> (BOUND, OFFERED), no owner", mine as u8, move |n, t| if mine { n.bond(NO, true, ENV); n.th[t].pc = if late { P2a } else { P5 } } else { n.th[t].pc = P2c }),
            P2c => self.go("send: lost: names nothing, EMPTY", NO, move |n, t| { n.e = Env { st: Stage::Empty, own: NO, names: n.e.names && stays }; Self::done(&mut n.th[t]) }),
            P5 => self.go("send: P5 sent", NO, move |n, t| { n.e.st = Stage::Sent; n.e.own = NO; Self::done(&mut n.th[t]) }),
            Got => {
                let (adopts, acks) = (self.m.role[t].contains('g'), self.m.role[t].contains('k'));
                if adopts && early { self.go("adopt: A2o before A1 (mutant)", NO, move |n, t| { if n.sent() { n.bond(p, false, p) } n.th[t].pc = A2o }) }
                else if adopts { self.go("adopt: A1 TAKEN -> ACKED(me)", NO, move |n, t| { n.e.st = Stage::Acked; n.th[t].pc = A2o }) }
                if acks { self.go("ack: A1 TAKEN -> ACKED(me)", NO, move |n, t| { n.e.st = Stage::Acked; n.th[t].pc = N1 }) }
                if acks { self.go("give back: TAKEN -> sent", NO, move |n, t| { n.e.st = Stage::Sent; n.e.own = NO; Self::done(&mut n.th[t]) }) }
            }
            A2o => self.go("adopt: A2o CAS (BOUND, OFFERED), no owner -> (me, BOUND)", s.sent() as u8, move |n, t| { if early { n.e.st = Stage::Acked } else if n.sent() { n.bond(p, false, p) } n.th[t].pc = A3 }),
            N1 => { let anothers = w.bound && w.own != NO && w.own != act && !self.is("envelope_evicts_anothers"); let names = s.e.names;
                self.go("evict what the envelope names: bound to another?", anothers as u8, move |n, t| n.th[t].pc = if names && !anothers { N2 } else { A3 }) }
            N2 => self.go("evict what the envelope names", NO, move |n, t| if n.w.st == Vs::Var { let who = if n.by == ENV { ENV } else { act }; n.retire(t, who, act, A3) } else { n.th[t].pc = A3 }),
            A3 => self.go("A3 the envelope names nothing", NO, move |n, t| { if !stays { n.e.names = false } n.th[t].pc = A4 }),
            _ => self.go("A4 EMPTY", NO, move |n, t| { n.e.st = Stage::Empty; n.e.own = NO; if th.dead != NO { n.th[t].i += 1; n.th[t].pc = Rp } else { Self::done(&mut n.th[t]) } }),
        }
    }
    fn reclaim(&mut self) {
        let (s, t) = (self.s, self.t);
        let th = s.th[t].clone();
        let after = move |n: &mut S, t: usize| if th.back == Idle { Self::done(&mut n.th[t]) } else { n.th[t].pc = th.back };
        match th.pc {
            TCas => { let last = s.w.st == Vs::Retired && s.th.iter().all(|x| !x.pin_v);
                self.go("RETIRED, unpinned? RECLAIMING(me)", last as u8, move |n, t| if last { n.w.st = Vs::Reclaiming; n.w.own = th.act; n.th[t].pc = C6 } else { after(n, t) }) }
            C6 => { let forgets = self.is("last_version_forgotten"); self.go("C6 evict the last version", s.cur, move |n, t| { let k = n.cur; if !forgets { n.evict(k) } n.th[t].pc = TFree }) }
            _ => self.go("the variable's slot is FREE", NO, move |n, t| { n.w = Word { st: Vs::Gone, own: NO, bound: false, off: false }; after(n, t) }),
        }
    }
    /// The slots of the region, in the order of the configuration: 0 the versions, 1 the variable, 2 the queue.
    fn reap(&mut self) {
        let (s, t) = (self.s, self.t);
        let (th, w, d) = (s.th[t].clone(), s.w, s.th[t].dead);
        let of = self.m.of;
        let next = |n: &mut S, t: usize| { n.th[t].i += 1; n.th[t].pc = Rp };
        // Where it is: NV versions, then one for each other slot.
        let mut at = th.i as usize;
        let mut here = 3;
        for &o in &self.m.order { let len = if o == 0 { NV } else { 1 }; if at < len { here = o; break } at -= len }
        let k = at;
        match th.pc {
            Rp if here == 0 => self.go("reap: load a version's word", k as u8, move |n, t| { let x = n.v[k]; let th = &mut n.th[t]; th.n = key(k, x.gen); th.old = if x.link == EMPTY { NONE } else { x.link };
                if x.own == d && x.st == St::Writing { n.v[k] = Slot { gen: x.gen + 1, st: St::Free, own: NO, ..x }; th.pc = RpRow }
                else { th.pc = if x.own == d && matches!(x.st, St::Ready | St::Retired) && x.link != NONE { RpLoad } else { RpRow } } }),
            Rp if here == 1 => self.go("reap: RECLAIMING by the dead?", NO, move |n, t| if w.st == Vs::Reclaiming && w.own == d { let th = &mut n.th[t]; (th.act, th.back, th.pc) = (d, RvCount, C6) } else { n.th[t].pc = RvCount }),
            Rp if here == 2 => self.go("reap: the envelope", NO, move |n, t| { n.th[t].pc = if n.e.own == d { Re } else { n.th[t].i += 1; Rp } }),
            Rp => self.go("reap: slots done", d, move |n, t| n.th[t].pc = RpEnd),
            RpLoad => self.go("reap: load cur", s.cur, move |n, t| { n.th[t].x = if w.st == Vs::Gone { NONE } else { n.cur }; n.th[t].pc = RpOld }),
            RpOld => self.go("reap: evict the predecessor unless current", th.old, move |n, t| { if th.x != th.old { n.evict(th.old) } n.th[t].pc = RpNew }),
            RpNew => self.go("reap: evict the version unless current", th.n, move |n, t| { if th.x != th.n { n.evict(th.n) } n.th[t].pc = RpRow }),
            RpRow => self.go("reap: count = 0; RETIRED? reclaim", k as u8, move |n, t| { for x in 0..NT { if of[x] == d && n.th[x].pin_n != NONE && sl(n.th[x].pin_n) == k { n.th[x].pin_n = NONE } } n.reclaim(k); next(n, t) }),
            RvCount => self.go("reap: the variable's count = 0", NO, move |n, t| { for x in 0..NT { if of[x] == d { n.th[x].pin_v = false } } n.th[t].pc = RvReclaim }),
            RvReclaim => self.go("reap: RETIRED? reclaim", NO, move |n, t| { let th = &mut n.th[t]; (th.act, th.back, th.pc) = (d, H1, TCas) }),
            H1 => { let (none, by_key) = (self.is("no_bound_step"), self.is("end_by_key")); self.go("end: H1 load VARIABLE(d, BOUND)?", NO, move |n, t| { n.th[t].w = w; if w.st == Vs::Var && w.bound && w.own == d && !none { n.th[t].pc = if by_key { H2Key } else { H2 } } else { next(n, t) } }) }
            H2 => self.go("end: H2 CAS that word -> RETIRED", (w == th.w) as u8, move |n, t| if w == th.w { n.retire(t, d, d, H1) } else { n.th[t].pc = H1 }),
            H2Key => self.go("end: evict by key (mutant)", NO, move |n, t| if w.st == Vs::Var { n.retire(t, d, d, H1) } else { next(n, t) }),
            Re => self.go("reap: Q2", NO, move |n, t| match n.e.st {
                Stage::Taken => { n.e.st = Stage::Sent; n.e.own = NO; next(n, t) }
                _ => n.th[t].pc = N1 }),
            _ => self.go("reap: entry free", d, move |n, t| { n.life[d as usize] = Life::Reaped; n.lock[d as usize] = NO; Self::done(&mut n.th[t]) }),
        }
    }
}

impl Model for M {
    type S = S;
    fn procs(&self) -> u8 { NT as u8 }
    fn busy(&self, s: &S, t: u8) -> bool { !matches!(s.th[t as usize].pc, Idle | Crashed) }
    fn init(&self) -> Vec<S> {
        let mut v = [Slot { gen: 0, st: St::Free, own: NO, link: NONE }; NV];
        v[0] = Slot { gen: 0, st: St::Ready, own: 0, link: NONE };
        let w = if self.owner == NO { FREE } else { Word { own: self.owner, bound: true, ..FREE } };
        let th = |t: usize| if self.role[t].is_empty() { Th { pc: Crashed, ..idle(0) } } else { idle(self.quota) };
        let mut s = S { w, cur: key(0, 0), v, e: Env { st: Stage::Empty, own: NO, names: false }, life: [Life::Live; NP], lock: [NO; NP], th: [th(0), th(1), th(2), th(3)], crashes: 0, by: self.owner, may: [false; NP], keyed: false, bad: 0 };
        for p in 0..NP { s.may[p] = s.may_set(p) }
        vec![s]
    }
    fn next(&self, s: &S, out: &mut Vec<Step<S>>) {
        for t in 0..NT { if s.live(self.of[t]) { At { m: self, s, t, out }.step() } }
        for p in 0..NP {
            if !s.live(p as u8) || s.crashes >= self.crashes { continue }
            let mut n = s.clone();
            n.life[p] = Life::Dead;
            n.crashes += 1;
            for t in 0..NT { if self.of[t] == p as u8 {
                let th = &mut n.th[t];
                *th = Th { pc: Crashed, pin_n: th.pin_n, pin_v: th.pin_v, ..idle(0) };
                for x in n.lock.iter_mut() { if *x == t as u8 { *x = NO } }
            } }
            out.push(Step { who: p as u8, what: "CRASH", arg: -1, crash: true, to: n });
        }
    }
    fn quiescent(&self, s: &S) -> bool {
        let reaper = (0..NT).any(|t| s.live(self.of[t]) && self.role[t].contains('r'));
        s.th.iter().all(|t| matches!(t.pc, Idle | Crashed)) && (!reaper || s.life.iter().all(|l| *l != Life::Dead))
    }
    fn invariant(&self, s: &S) -> Result<(), String> {
        match s.bad { 1 => return Err("taken from somebody who lives and answers for it".into()), 2 => return Err("set by one who might not since it has this version".into()), _ => {} }
        if s.w.st == Vs::Var && !s.ready(s.cur) { return Err("the variable names a version that is not READY".into()) }
        if s.w.st == Vs::Var && s.w.bound != (s.by != NO) { return Err("BOUND, and nobody answers for it; or the other way round".into()) }
        if s.by < NP as u8 && (s.w.own != s.by || !s.w.bound) { return Err("one answers for it of whom the word knows nothing".into()) }
        if s.sent() && !s.e.names && self.mutant != "named_after_sent" { return Err("it was sent, and no envelope names it".into()) }
        if s.e.st == Stage::Empty && s.e.names { return Err("an EMPTY envelope names something".into()) }
        if !self.quiescent(s) || s.life.iter().any(|l| *l == Life::Dead) { return Ok(()) }
        if matches!(s.w.st, Vs::Retired | Vs::Reclaiming) { return Err(format!("quiescent: the variable is left {:?}", s.w.st)) }
        if s.w.st == Vs::Var && s.w.bound && s.w.own != NO && !s.live(s.w.own) { return Err("quiescent: bound to one who is gone".into()) }
        if s.sent() && !matches!(s.e.st, Stage::Sent | Stage::Taken) { return Err("quiescent: it was sent, and nobody will receive it".into()) }
        if matches!(s.e.st, Stage::Owned | Stage::Acked) { return Err("quiescent: an envelope is lost".into()) }
        if matches!(s.e.st, Stage::Sent | Stage::Taken) && !s.keyed && !s.sent() { return Err("quiescent: a message whose object is gone or another's".into()) }
        for i in 0..NV {
            let is_current = s.w.st == Vs::Var && s.cur == key(i, s.v[i].gen);
            if !(s.v[i].st == St::Free || s.v[i].st == St::Ready && is_current) { return Err(format!("quiescent: version slot {i} is left {:?}", s.v[i].st)) }
        }
        Ok(())
    }
}

fn main() {
    let base = |role, of, owner, crashes| M { role, of, quota: 1, owner, order: [0, 1, 2], crashes, mutant: "" };
    let o = || Opts { solo: 80, ..Opts::default() };
    // Two threads of the first owner, one of which sets while the other hands over.
    let handed = || base(["s", "oum", "sabm", "r"], [0, 0, 1, 2], 0, 1);
    // One who never owns it, while its owner sets, offers and evicts.
    let foreign = || base(["som", "s", "sa", "r"], [0, 1, 2, 2], 0, 1);
    let bound = || base(["s", "sbu", "e", "r"], [0, 1, 2, 2], NO, 1);
    let sent = || base(["sqm", "gq", "ke", "r"], [0, 1, 2, 2], 0, 1);
    let crashing = || base(["q", "g", "gk", "r"], [0, 1, 2, 2], 0, 2);
    let mut ok = true;
    ok &= run("M12 set | offer, lift, evict | adopt, set, bind", &handed(), o());
    ok &= run("M12 set by one who never owns it", &foreign(), o());
    ok &= run("M12 nobody's: set | bind, set, lift | evict", &bound(), o());
    ok &= run("M12 sent, received, adopted, acknowledged, evicted by key", &sent(), o());
    ok &= run("M12 sent and received, 2 crashes", &crashing(), o());
    for order in [[1, 0, 2], [2, 1, 0], [1, 2, 0]] { ok &= run(&format!("M12 the same, reaped in the order {order:?}"), &M { order, ..crashing() }, o()) }
    ok &= run("M12 handed over, reaped in another order", &M { order: [1, 0, 2], ..handed() }, o());
    if std::env::args().any(|a| a == "big") {
        let all = base(["sqoum", "sgab", "skae", "r"], [0, 1, 2, 2], 0, 2);
        ok &= run("M12 everything, 2 crashes", &all, Opts { max: 100_000_000, ..Opts::default() });
    }
    let mut fails = |mutant: &'static str, m: M| ok &= must_fail(&format!("M12 mutant {mutant}"), &M { mutant, ..m }, Opts::default());
    for mu in ["asks_nobody", "retired_is_everybodys"] { fails(mu, foreign()) }
    for mu in ["asked_before_it_reads", "not_asked_again"] { fails(mu, handed()) }
    for mu in ["no_bound_step", "end_by_key", "last_version_forgotten"] { fails(mu, handed()) }
    for mu in ["named_after_sent", "adopted_before_acknowledged", "stays_named"] { fails(mu, crashing()) }
    fails("adopt_by_store", M { role: ["om", "ao", "a", "r"], ..handed() });
    fails("bind_takes_what_was_sent", M { role: ["q", "b", "g", "r"], ..sent() });
    fails("token_takes_what_was_sent", M { role: ["q", "a", "g", "r"], ..sent() });
    // Who sends what is another's is refused; killed between naming it and hearing that, it must take it from nobody.
    let others = || M { role: ["s", "q", "r", ""], mutant: "sends_what_is_anothers", ..crashing() };
    fails("envelope_evicts_anothers", others());
    ok &= run("M12 who sends what is another's is refused, killed or not", &others(), o());
    println!("M12 {}", if ok { "ALL AS EXPECTED" } else { "UNEXPECTED RESULTS" });
}

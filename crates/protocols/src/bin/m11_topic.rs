//! M11: a broadcast topic: every subscriber sees every message, or knows how many it missed. The protocol that
//! `src/protocol/topic` is, out of slots, pins and one more kind of word.
//!
//! A ring of N words, one more than the topic promises to keep, `seq 40 | slot 24`, 0 for never used: position seq % N names the
//! message of that number. A message is an object whose slot has `place` = its number and its publisher as owner. Numbers are
//! given without gaps and never twice, so no word ever comes back. `tail` is a hint, never ahead of the first number not
//! published. A row of cursor words, one per participant: 0, or the next number it wants + 1. `event` counts what somebody
//! may sleep for. (Built: two bells, and a table of cursors with their owners' tags, which are taken by CAS.)
//!
//! publish  P1 claim slot n, bytes, place = none, READY(me) · P2 load tail t · P3 load ring word: number q = t? P4 CAS tail t ->
//!          t + 1, P2; q > t: P2 · P5 (hold back) any cursor <= t - N + 1? full: sleep, or evict n · P6 n.place = t
//!          · P7 evict what the word names: READY(g), place = q? CAS that word -> RETIRED · P8 CAS ring word -> (t, n): that
//!          is the publication; lost: P2, n keeps its bytes · P9 CAS tail t -> t + 1 · P10 event + 1, wake
//! join     J1 find the true tail t (P2 to P4) · J2 my cursor = t, or the oldest that is there and that nobody may be about to
//!          replace, from t - N + 1 on · J3 find the true tail t' · cursor < t' - N + 1? J2 again · J4 (hold back) event + 1,
//!          wake: the first J2 may have sent a publisher to sleep
//! receive  C1 load event · C2 load ring word of c: q = c? C3 pin: load READY(g), place = c; count + 1; still READY(g)?
//!          a view; cursor = c + 1 · C4 (hold back) event + 1, wake · q > c: all up to q - N are lost, c = q - N + 1
//!          · C3 failed and the word is the same: the next publisher has evicted it, or who drops: one lost; held back, that is
//!          before its first message only, and was there before J2: none that it asked for · else sleep while event is C1's
//! drop     for p from the oldest: D1 load ring word: number p? else done · D2 (hold back) any cursor <= p? done · D3 load READY(g),
//!          place = p; D4 CAS that word -> RETIRED · p + 1
//! reap     cursor of d = 0 · slots: WRITING(d) -> FREE; READY(d), and not what the ring word of its place names: evict ·
//!          counts of d = 0 · event + 1, wake · VACANT
//!
//! P7 before P8: killed between, the ring names what is gone, which costs the slow one message; the other way round the
//! replaced message would be left for ever. So N words retain N - 1 messages. Nothing is undone after P8: a message that is
//! current keeps its publisher's tag, as a bucket's version does. A stopped publisher blocks nobody: P4 helps its tail, its
//! P7 names a generation, its P8 a number. Killed after P8: the reaper bumps and wakes. J2, J3 and P2, P5: a publisher of
//! t + 1 has seen t published after J3 did not, so it scans after J2; one of t replaces t - N only. D2 is before each D4: what
//! is gone is always the oldest, so who joined between the two can lose only what it has not come to yet.
use mc::*;

const NT: usize = 3;
const N: u8 = 2; // ring words
const E: usize = 4; // slots
const NO: u8 = 9;
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum St { Free, Writing(u8), Ready(u8), Retired }
use St::*;
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Slot { g: u8, st: St, place: u8, msg: u8, pins: [u8; NT] }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Ring { q: u8, slot: u8 } // q NO: never used
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Pc { Idle, Crashed, P1, P2, P3, P4, P5, P5b, P6, P7, P7Cas, P8, P7Late, P9, P10, PAsleep, D1, D2, D3, D4, J1, J1Look, J1Help, J2, J4, C1, C2, C3, C3Count, C3Again, C3Undo, C3Lost, CDone, C4, CAsleep, ACursor, ASlot, ARing, AEvict, ACounts, ABump, AEnd }
use Pc::*;
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Th { pc: Pc, fresh: bool, dropped: bool, n: u8, t: u8, w: Ring, k: u8, g: u8, held: u8, c: u8, checked: bool, sent: u8, event: bool, dead: u8 }
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct S { slot: [Slot; E], ring: [Ring; N as usize], tail: u8, cursor: [u8; NT], dead: [bool; NT], elect: [u8; NT], th: [Th; NT], crashes: u8, published: [u8; 6], bad: u8 }
fn idle() -> Th { Th { pc: Idle, fresh: false, dropped: false, n: NO, t: 0, w: Ring { q: NO, slot: NO }, k: 0, g: 0, held: NO, c: NO, checked: false, sent: 0, event: false, dead: NO } }
fn done(th: &mut Th) { *th = Th { held: th.held, c: th.c, sent: th.sent, fresh: th.fresh, dropped: th.dropped, ..idle() } }

struct M { role: [&'static str; NT], quota: [u8; NT], back: bool, crashes: u8, mutant: &'static str }
struct At<'a> { m: &'a M, s: &'a S, t: usize, out: &'a mut Vec<Step<S>> }
impl S {
    fn next_number(&self) -> u8 { self.published.iter().take_while(|m| **m != NO).count() as u8 }
    fn retire(&mut self, k: usize) { self.slot[k].st = Retired; self.reclaim(k) }
    fn reclaim(&mut self, k: usize) { let x = &mut self.slot[k]; if x.st == Retired && x.pins.iter().all(|p| *p == 0) { *x = Slot { g: x.g + 1, st: Free, place: x.place, msg: NO, pins: [0; NT] } } }
    fn is_there(&self, c: u8) -> bool { let w = self.ring[(c % N) as usize]; w.q == c && matches!(self.slot[w.slot as usize].st, Ready(_)) && self.slot[w.slot as usize].place == c }
    fn lose(&mut self, from: u8, to: u8, waited: bool) { if waited { self.bad |= 1 } for c in from..to { if self.is_there(c) { self.bad |= 2 } } }
    fn bump(&mut self) { for th in self.th.iter_mut() { th.event = !matches!(th.pc, Idle | Crashed); if th.pc == PAsleep { th.pc = P2; th.event = false } if th.pc == CAsleep { th.pc = C1; th.event = false } } }
    fn blocked(&self, t: u8) -> bool { t >= N - 1 && self.cursor.iter().any(|c| *c != 0 && c - 1 <= t - (N - 1)) }
}
impl At<'_> {
    fn is(&self, x: &str) -> bool { self.m.mutant == x }
    fn go(&mut self, what: &'static str, arg: u8, f: impl Fn(&mut S, usize)) {
        let mut n = self.s.clone();
        f(&mut n, self.t);
        self.out.push(Step { who: self.t as u8, what, arg: if arg == NO { -1 } else { arg as i32 }, crash: false, to: n });
    }
    fn step(&mut self) {
        match self.s.th[self.t].pc {
            Crashed => {}
            Idle => self.idle(),
            PAsleep | CAsleep => self.reap_somebody(),
            P1 | P2 | P3 | P4 | P5 | P5b | P6 => self.prepare(),
            P7 | P7Cas | P8 | P7Late | P9 | P10 => self.publish(),
            J1 | J1Look | J1Help | J2 | J4 => self.join(),
            D1 | D2 | D3 | D4 => self.drop_oldest(),
            C1 | C2 | C3 | C3Count | C3Again | C3Undo | C3Lost | CDone | C4 => self.receive(),
            _ => self.reap(),
        }
    }
    fn idle(&mut self) {
        let (s, t, role) = (self.s, self.t, self.m.role[self.t]);
        let th = &s.th[t];
        if role.contains('p') && th.sent < self.m.quota[t] {
            if let Some(k) = s.slot.iter().position(|x| x.st == Free) { self.go("publish: P1 claim a slot, bytes", k as u8, move |n, t| { n.slot[k].st = Writing(t as u8); n.slot[k].msg = 10 * (t as u8 + 1) + n.th[t].sent; n.th[t].n = k as u8; n.th[t].pc = P1 }) }
        }
        if role.contains('s') && th.c == NO { for oldest in [0, 1] { self.go("join: latest or oldest", oldest, move |n, t| { n.th[t].k = oldest; n.th[t].pc = J1 }) } }
        if role.contains('d') && !th.dropped { self.go("drop the oldest", NO, |n, t| { n.th[t].t = n.next_number().saturating_sub(N); n.th[t].dropped = true; n.th[t].pc = D1 }) }
        let held = th.held as usize;
        if role.contains('s') && th.c != NO && th.held == NO { self.go("receive", th.c, |n, t| n.th[t].pc = C1) }
        if th.held != NO { self.go("drop the view", th.held, move |n, t| { n.slot[held].pins[t] -= 1; n.reclaim(held); n.th[t].held = NO }) }
        if role.contains('l') && th.c != NO { self.go("leave: cursor = 0, wake", th.c, |n, t| { n.cursor[t] = 0; n.th[t].c = NO; n.bump() }) }
        self.reap_somebody();
    }
    fn reap_somebody(&mut self) {
        let s = self.s;
        for d in 0..NT { if s.dead[d] && s.elect[d] == NO { self.go("reap: elected, perhaps after a slice of sleep", d as u8, move |n, t| { n.elect[d] = t as u8; n.th[t].dead = d as u8; n.th[t].pc = ACursor }) } }
    }
    fn prepare(&mut self) {
        let (th, back) = (self.s.th[self.t].clone(), self.m.back);
        let (t, at, k) = (th.t, (th.t % N) as usize, th.k as usize);
        let (alone, early) = (self.is("no_help"), self.is("scan_before_look"));
        let fits = if back { P5 } else { P6 };
        let stale = self.is("place_stays");
        match th.pc {
            P1 => self.go("publish: P1 place = none, READY(me)", th.n, move |n, i| { let x = &mut n.slot[th.n as usize]; if !stale { x.place = NO } x.st = Ready(i as u8); n.th[i].pc = P2 }),
            P2 => self.go("publish: P2 load event, tail", self.s.tail, move |n, i| { n.th[i].event = false; n.th[i].t = n.tail; n.th[i].k = 0; n.th[i].checked = false; n.th[i].pc = if early && back { P5 } else { P3 } }),
            P3 => self.go("publish: P3 load ring word", t, move |n, i| { let w = n.ring[at]; n.th[i].w = w; n.th[i].pc = if w.q != NO && w.q > t { P2 } else if w.q == t { if alone { P2 } else { P4 } } else if early { P6 } else { fits } }),
            P4 => self.go("publish: P4 CAS tail t -> t + 1", t, move |n, i| { if n.tail == t { n.tail += 1 } n.th[i].pc = P2 }),
            P5 if k == NT => self.go("publish: P5 nobody is behind", t, move |n, i| { n.th[i].k = 0; n.th[i].pc = if early { P3 } else { P6 } }),
            P5 => self.go("publish: P5 load a cursor", th.k, move |n, i| { let c = n.cursor[k]; if t >= N - 1 && c != 0 && c - 1 <= t - (N - 1) { n.th[i].pc = P5b } else { n.th[i].k += 1 } }),
            P5b => self.go("publish: P5 full: sleep unless event moved", t, move |n, i| { n.th[i].k = 0; n.th[i].t = 0; n.th[i].w = idle().w; n.th[i].pc = if n.th[i].event { P2 } else { PAsleep }; n.th[i].event = false }),
            _ => self.go("publish: P6 place = t", t, move |n, i| { n.slot[th.n as usize].place = t; n.th[i].pc = P7 }),
        }
    }
    fn publish(&mut self) {
        let th = self.s.th[self.t].clone();
        let (t, at, old) = (th.t, (th.t % N) as usize, th.w.slot as usize);
        let (late, quiet) = (self.is("evict_after_cas"), self.is("publish_no_wake"));
        let number = move |n: &mut S, i: usize| { if n.next_number() != t { n.bad |= 4 } n.published[t as usize] = n.slot[th.n as usize].msg; n.th[i].sent += 1; n.ring[at] = Ring { q: t, slot: th.n }; n.th[i].pc = if late { P7Late } else { P9 } };
        match th.pc {
            P7 => self.go("publish: P7 load the old one's slot: READY, place = q?", th.w.q, move |n, i| { n.th[i].pc = P8; if th.w.q != NO && !late { let x = n.slot[old]; if matches!(x.st, Ready(_)) && x.place == th.w.q { n.th[i].g = x.g; n.th[i].pc = P7Cas } } }),
            P7Cas => self.go("publish: P7 CAS READY(g) -> RETIRED", th.w.q, move |n, i| { let x = n.slot[old]; if x.g == th.g && matches!(x.st, Ready(_)) { n.retire(old) } n.th[i].pc = P8 }),
            P8 => self.go("publish: P8 CAS ring word -> (t, n)", t, move |n, i| if n.ring[at] == th.w { number(n, i) } else { n.th[i].pc = P2 }),
            P7Late => self.go("publish: evict the old one after the CAS (mutant)", th.w.q, move |n, i| { if th.w.q != NO && n.slot[old].place == th.w.q && matches!(n.slot[old].st, Ready(_)) { n.retire(old) } n.th[i].pc = P9 }),
            P9 => self.go("publish: P9 CAS tail t -> t + 1", t, move |n, i| { if n.tail == t { n.tail += 1 } n.th[i].pc = P10 }),
            _ => self.go("publish: P10 event + 1, wake", t, move |n, i| { done(&mut n.th[i]); if !quiet { n.bump() } }),
        }
    }
    fn join(&mut self) {
        let (th, back, mute) = (self.s.th[self.t].clone(), self.m.back, self.is("join_no_wake"));
        let (t, at) = (th.t, (th.t % N) as usize);
        let (once, edge) = (self.is("join_without_second_look"), self.is("join_at_what_is_replaced_next"));
        let oldest = if edge { t.saturating_sub(N) } else { (t + 1).saturating_sub(N) };
        match th.pc {
            J1 => self.go("join: load tail", self.s.tail, move |n, i| { n.th[i].t = n.tail; n.th[i].pc = J1Look }),
            J1Look => self.go("join: load ring word", t, move |n, i| { let q = n.ring[at].q; n.th[i].pc = if q != NO && q > t { J1 } else if q == t { J1Help } else if !th.checked { J2 } else if th.c < oldest { n.th[i].c = NO; J2 } else if back { J4 } else { done(&mut n.th[i]); Idle } }),
            J1Help => self.go("join: CAS tail t -> t + 1", t, move |n, i| { if n.tail == t { n.tail += 1 } n.th[i].pc = J1 }),
            J4 => self.go("join: J4 event + 1, wake", t, move |n, i| { done(&mut n.th[i]); if !mute { n.bump() } }),
            _ => self.go("join: J2 cursor = c", t, move |n, i| { let c = if th.k == 0 { t } else { (oldest..t).find(|c| n.is_there(*c)).unwrap_or(t) }; n.th[i].fresh = true; n.cursor[i] = c + 1; n.th[i].c = c; n.th[i].checked = true; if once { done(&mut n.th[i]) } else { n.th[i].pc = J1 } }),
        }
    }
    fn receive(&mut self) {
        let (th, back) = (self.s.th[self.t].clone(), self.m.back);
        let (c, at, k) = (th.c, (th.c % N) as usize, th.w.slot as usize);
        // Where nobody drops, who joins loses nothing at all.
        let drops = self.m.role.iter().any(|role| role.contains('d'));
        let (any, trusting, jump, quiet) = (self.is("pin_without_number"), self.is("no_look_after_count"), self.is("jump_to_the_newest"), self.is("cursor_no_wake"));
        let next = move |n: &mut S, i: usize, c: u8| { n.th[i].c = c; n.cursor[i] = c + 1; n.th[i].pc = if back { C4 } else { C1 } };
        match th.pc {
            C1 => self.go("receive: C1 load event", c, move |n, i| { n.th[i].event = false; n.th[i].pc = C2 }),
            C2 => self.go("receive: C2 load ring word", c, move |n, i| { let w = n.ring[at]; n.th[i].w = w;
                if w.q == c { n.th[i].pc = C3 }
                else if w.q != NO && w.q > c { let to = if jump { w.q } else { w.q + 1 - N }; n.lose(c, to, back && !(n.th[i].fresh && drops)); next(n, i, to) }
                else { n.th[i].w = idle().w; n.th[i].pc = if n.th[i].event { C1 } else { CAsleep }; n.th[i].event = false } }),
            C3 => self.go("receive: C3 load slot: READY(g), place = c?", th.w.slot, move |n, i| { let x = n.slot[k]; n.th[i].g = x.g; n.th[i].pc = if matches!(x.st, Ready(_)) && (x.place == c || any) { C3Count } else { C3Lost } }),
            C3Count => self.go("receive: C3 own count += 1", th.w.slot, move |n, i| { n.slot[k].pins[i] += 1; n.th[i].pc = C3Again }),
            C3Again => self.go("receive: C3 still READY(g)? a view", th.w.slot, move |n, i| { let x = n.slot[k];
                if trusting || (x.g == th.g && matches!(x.st, Ready(_))) { if x.msg != n.published[c as usize] { n.bad |= 8 } n.th[i].held = k as u8; n.th[i].fresh = false; n.th[i].pc = CDone } else { n.th[i].pc = C3Undo } }),
            C3Undo => self.go("receive: own count -= 1", th.w.slot, move |n, i| { n.slot[k].pins[i] -= 1; n.reclaim(k); n.th[i].pc = C3Lost }),
            C3Lost => self.go("receive: the word is the same? one lost", c, move |n, i| if n.ring[at] == th.w { n.lose(c, c + 1, back && !(n.th[i].fresh && drops)); next(n, i, c + 1) } else { n.th[i].pc = C2 }),
            CDone => self.go("receive: cursor = c + 1", c, move |n, i| { next(n, i, c + 1); if !back { done(&mut n.th[i]) } }),
            _ => self.go("receive: C4 event + 1, wake", c, move |n, i| { if n.th[i].held != NO { done(&mut n.th[i]) } else { n.th[i].pc = C1 } if !quiet { n.bump() } }),
        }
    }
    fn drop_oldest(&mut self) {
        let (th, back, once, late) = (self.s.th[self.t].clone(), self.m.back, self.is("scan_once_for_all"), self.is("drop_what_is_wanted"));
        let (p, at, k, slot) = (th.t, (th.t % N) as usize, th.k as usize, th.w.slot as usize);
        let next = move |n: &mut S, i: usize| { n.th[i].t += 1; n.th[i].k = if once { NT as u8 } else { 0 }; n.th[i].pc = D1 };
        match th.pc {
            D1 => self.go("drop: D1 load ring word: number p?", p, move |n, i| { let w = n.ring[at]; n.th[i].w = w; if w.q != p { done(&mut n.th[i]) } else { n.th[i].pc = if back && !late { D2 } else { D3 } } }),
            D2 if k == NT => self.go("drop: D2 nobody wants it", p, |n, i| n.th[i].pc = D3),
            D2 => self.go("drop: D2 load a cursor", th.k, move |n, i| { let c = n.cursor[k]; if c != 0 && c - 1 <= p { done(&mut n.th[i]) } else { n.th[i].k += 1 } }),
            D3 => self.go("drop: D3 load slot: READY, place = p?", p, move |n, i| { let x = n.slot[slot]; if matches!(x.st, Ready(_)) && x.place == p { n.th[i].g = x.g; n.th[i].pc = D4 } else { next(n, i) } }),
            _ => self.go("drop: D4 CAS READY(g) -> RETIRED", p, move |n, i| { let x = n.slot[slot]; if x.g == th.g && matches!(x.st, Ready(_)) { n.retire(slot) } next(n, i) }),
        }
    }
    fn reap(&mut self) {
        let th = self.s.th[self.t].clone();
        let (d, k) = (th.dead as usize, th.k as usize);
        let (keeps, stays, always, quiet) = (self.is("reap_keeps_unpublished"), self.is("cursor_stays"), self.is("reap_evicts_always"), self.is("reap_no_wake"));
        match th.pc {
            ACursor => self.go("reap: cursor of d = 0", th.dead, move |n, i| { if !stays { n.cursor[d] = 0 } n.th[i].pc = ASlot }),
            ASlot if k == E => self.go("reap: slots done", th.dead, move |n, i| { n.th[i].k = 0; n.th[i].pc = ACounts }),
            ASlot => self.go("reap: load slot", th.k, move |n, i| { let x = n.slot[k]; n.th[i].g = x.g; match x.st {
                Writing(p) if p as usize == d => { n.slot[k].st = Retired; n.reclaim(k); n.th[i].k += 1 }
                Ready(p) if p as usize == d && !keeps => { n.th[i].t = x.place; n.th[i].pc = ARing }
                _ => n.th[i].k += 1 } }),
            ARing => self.go("reap: does the ring name it?", th.k, move |n, i| if n.ring[(th.t % N) as usize] == (Ring { q: th.t, slot: th.k }) && !always { n.th[i].k += 1; n.th[i].pc = ASlot } else { n.th[i].pc = AEvict }),
            AEvict => self.go("reap: CAS READY(g) -> RETIRED", th.k, move |n, i| { let x = n.slot[k]; if x.g == th.g && x.st == Ready(d as u8) { n.retire(k) } n.th[i].k += 1; n.th[i].pc = ASlot }),
            ACounts => self.go("reap: counts of d = 0", th.dead, move |n, i| { for k in 0..E { n.slot[k].pins[d] = 0; n.reclaim(k) } n.th[i].pc = ABump }),
            ABump => self.go("reap: event + 1, wake", th.dead, move |n, i| { n.th[i].pc = AEnd; if !quiet { n.bump() } }),
            _ => self.go("reap: VACANT", th.dead, move |n, i| { n.dead[d] = false; n.elect[d] = NO; done(&mut n.th[i]); if th.n != NO { n.th[i].n = th.n; n.th[i].pc = P2 } }),
        }
    }
}
impl Model for M {
    type S = S;
    fn procs(&self) -> u8 { NT as u8 }
    fn busy(&self, s: &S, p: u8) -> bool { !matches!(s.th[p as usize].pc, Idle | Crashed | PAsleep | CAsleep) }
    fn init(&self) -> Vec<S> {
        let slot = Slot { g: 0, st: Free, place: NO, msg: NO, pins: [0; NT] };
        vec![S { slot: [slot; E], ring: [idle().w; N as usize], tail: 0, cursor: [0; NT], dead: [false; NT], elect: [NO; NT], th: [idle(), idle(), idle()], crashes: 0, published: [NO; 6], bad: 0 }]
    }
    fn next(&self, s: &S, out: &mut Vec<Step<S>>) {
        for t in 0..NT {
            At { m: self, s, t, out }.step();
            if s.th[t].pc == Crashed || s.crashes >= self.crashes { continue }
            let mut n = s.clone();
            n.crashes += 1;
            n.dead[t] = true;
            n.th[t] = Th { pc: Crashed, ..idle() };
            for x in n.elect.iter_mut() { if *x == t as u8 { *x = NO } }
            out.push(Step { who: t as u8, what: "CRASH", arg: -1, crash: true, to: n });
        }
    }
    fn quiescent(&self, s: &S) -> bool {
        let all_gone = s.th.iter().all(|t| t.pc == Crashed);
        s.th.iter().all(|t| matches!(t.pc, Idle | Crashed | PAsleep | CAsleep)) && (all_gone || s.dead.iter().all(|d| !d))
    }
    fn invariant(&self, s: &S) -> Result<(), String> {
        let text = ["a subscriber that is waited for lost a message", "lost, though it was there", "a number given twice, or a gap", "not the message of that number"];
        for (i, text) in text.iter().enumerate() { if s.bad & (1 << i) != 0 { return Err((*text).into()) } }
        for (t, th) in s.th.iter().enumerate() { if th.held != NO { let x = s.slot[th.held as usize]; if x.pins[t] == 0 || !matches!(x.st, Ready(_) | Retired) { return Err("a view's message is gone".into()) } } }
        if s.tail > s.next_number() { return Err("tail ran ahead".into()) }
        if !self.quiescent(s) || s.dead.iter().any(|d| *d) { return Ok(()) }
        for (k, x) in s.slot.iter().enumerate() { match x.st {
            Writing(_) if !s.th.iter().any(|t| t.n == k as u8) => return Err("quiescent: a slot leaked".into()),
            Ready(_) if s.ring[(x.place % N) as usize] != (Ring { q: x.place, slot: k as u8 }) && !s.th.iter().any(|t| t.n == k as u8) => return Err("quiescent: a message that nobody names".into()),
            Retired if x.pins.iter().all(|p| *p == 0) => return Err("quiescent: RETIRED, unpinned".into()),
            _ => {} } }
        for t in 0..NT { let th = &s.th[t];
            if th.pc == Crashed && s.cursor[t] != 0 { return Err("quiescent: a cursor of the dead".into()) }
            if th.pc == CAsleep && s.next_number() > th.c { return Err("lost wake-up: a subscriber sleeps, a message is there".into()) }
            if th.pc == PAsleep && !s.blocked(s.next_number()) { return Err("lost wake-up: a publisher sleeps, nobody is behind".into()) } }
        Ok(())
    }
}

fn main() {
    let base = |role, quota, back, crashes| M { role, quota, back, crashes, mutant: "" };
    let o = || Opts { solo: 80, ..Opts::default() };
    let two = |back| base(["p", "p", "s"], [2, 1, 0], back, 1);
    let many = |back| base(["p", "s", "sl"], [3, 0, 0], back, 1);
    let dropped = |back| base(["p", "s", "d"], [3, 0, 0], back, 1);
    let (mut ok, wide) = (true, || Opts { max: 100_000_000, live: false, solo: 0 });
    for (mode, back) in [("losing", false), ("held back", true)] {
        ok &= run(&format!("M11 {mode}: 2 publishers (2+1), subscriber, 1 crash"), &two(back), o());
        ok &= run(&format!("M11 {mode}: publisher (3), 2 subscribers"), &M { crashes: 0, ..many(back) }, o());
        ok &= run(&format!("M11 {mode}: publisher (3), subscriber, one who drops, 1 crash"), &dropped(back), o());
        if std::env::args().any(|a| a == "big") {
            // A tail that was loaded is not ahead, so it says as much as the look at the word.
            if back { ok &= run("M11 harmless: scan_before_look", &M { mutant: "scan_before_look", ..two(back) }, o()) }
            ok &= run(&format!("M11 {mode}: publisher (3), 2 subscribers, 1 crash"), &many(back), o());
            ok &= run(&format!("M11 {mode}: 2 publishers (2+2), subscriber, 1 crash"), &M { quota: [2, 2, 0], ..two(back) }, wide());
        }
    }
    for mu in ["reap_keeps_unpublished", "evict_after_cas", "no_look_after_count", "jump_to_the_newest", "publish_no_wake"] {
        ok &= must_fail(&format!("M11 mutant {mu}"), &M { mutant: mu, ..two(false) }, wide());
    }
    for mu in ["reap_evicts_always", "cursor_stays", "cursor_no_wake", "reap_no_wake", "join_no_wake", "join_without_second_look", "join_at_what_is_replaced_next"] {
        ok &= must_fail(&format!("M11 mutant {mu}"), &M { mutant: mu, ..two(true) }, wide());
    }
    for (mu, back) in [("place_stays", false), ("drop_what_is_wanted", true), ("scan_once_for_all", true)] {
        ok &= must_fail(&format!("M11 mutant {mu}"), &M { mutant: mu, ..dropped(back) }, wide());
    }
    ok &= must_fail("M11 mutant no_help", &M { mutant: "no_help", ..two(false) }, o());
    ok &= must_fail("M11 mutant pin_without_number", &M { mutant: "pin_without_number", ..base(["p", "s", ""], [4, 0, 0], false, 0) }, wide());
    println!("M11 {}", if ok { "ALL AS EXPECTED" } else { "UNEXPECTED RESULTS" });
}

//! M10: leases: an object that goes at its deadline unless somebody extends it (`protocol::lease`).
//!
//! A slot's `deadline`: 0 none, a time of CLOCK_BOOTTIME, or EXPIRED. It counts while the slot is READY, for that generation:
//! every claimer resets it in WRITING, before READY. What decides is the word, not the clock: whoever finds a deadline
//! passed CASes it to EXPIRED first, and acts then. An overdue lease that nobody has expired can still be
//! extended (the code does not: its extend pins as get does, which expires it).
//!
//! put      W1 CAS FREE -> WRITING(me) · W1b deadline = 0 or d, also without a lease · W4 word = READY(g), a Release store
//! expire   X1 load word READY(g) · X2 load deadline d, after the word · X3 d passed? CAS d -> EXPIRED; lost: X1
//!          · X4 CAS READY(g) -> RETIRED(g), wake, try_reclaim. EXPIRED seen at X2: X4 at once
//! get      G1 pin, READY(g) · G2 load deadline: 0 or to come: a view · G3 passed: CAS d -> EXPIRED, lost: G2 · G4 unpin,
//!          X4, and nothing is there: nobody gets it later
//! extend   E1 pin, READY(g) · E2 load d; EXPIRED: gone, X4 · E3 CAS d -> d' (0: for ever), lost: E2 · E4 unpin
//! sweep    expire, for every slot, by anybody, when it likes: when memory runs short, or in the background
//!
//! X needs no pin: its X4 names the generation, and while that is READY(g) the deadline it saw was g's, because it was read
//! after READY(g). X3 may hit the next generation's deadline if that is the same time: then it has passed for that, too.
//! E needs one: d -> d' on the next generation's word would be a lease nobody asked for.
//! Killed after X3, G3: EXPIRED and READY: whoever looks next goes on with X4. Killed elsewhere: nothing, or a count, or
//! WRITING(dead). The death of who put or extended it changes nothing: the deadline stands in the slot.
use mc::*;

const NT: usize = 3;
const NG: usize = 3;
const NONE: u8 = 0;
const EXPIRED: u8 = 15;
const EVER: u8 = 14; // ghost: no deadline
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum St { Free, Writing, Ready, Retired, Reclaiming }
use St::*;
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Word { g: u8, st: St, own: u8 }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Pc { Idle, Crashed, W1b, W4, WLate, P3, Un, UnLoad, G2, G3, E2, E3, X1, X2, X3, X4, TScan, TCas, TFree, R1 }
use Pc::*;
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Th { pc: Pc, held: u8, g: u8, d: u8, to: u8, extend: bool, x4: bool, w: Word, act: u8 }
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct S { w: Word, dl: u8, now: u8, cnt: [u8; NT], dead: [bool; NT], elect: [u8; NT], th: [Th; NT], crashes: u8,
           due: [u8; NG], gone: [bool; NG], bad: u8 } // due: what was promised; gone: somebody was told that it expired
const NO: u8 = 9;
const W0: Word = Word { g: 0, st: Free, own: NO };
fn idle(held: u8) -> Th { Th { pc: Idle, held, g: 0, d: 0, to: 0, extend: false, x4: false, w: W0, act: NO } }

struct M { role: [&'static str; NT], crashes: u8, gens: u8, last: u8, mutant: &'static str }
struct At<'a> { m: &'a M, s: &'a S, t: usize, out: &'a mut Vec<Step<S>> }
fn passed(d: u8, now: u8) -> bool { d != NONE && d <= now }
impl S {
    fn tell_gone(&mut self, g: u8) { self.gone[g as usize] = true }
    fn fin(&mut self, t: usize) { self.th[t] = idle(self.th[t].held) }
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
            W1b | W4 | WLate => self.put(),
            P3 | Un | UnLoad | G2 | G3 => self.get(),
            E2 | E3 => self.extend(),
            X1 | X2 | X3 | X4 => self.expire(),
            _ => self.reclaim(),
        }
    }
    fn idle(&mut self) {
        let (s, t, role) = (self.s, self.t, self.m.role[self.t]);
        let (w, held) = (s.w, s.th[t].held);
        let bare = self.is("extend_without_pin");
        if role.contains('p') && w.st == Free && w.g < self.m.gens {
            for d in [NONE, s.now + 1] { if d <= self.m.last { self.go("put: W1 CAS FREE -> WRITING(me)", d, move |n, t| { n.w = Word { st: Writing, own: t as u8, ..w }; n.th[t].g = w.g; n.th[t].to = d; n.th[t].pc = W1b }) } }
        }
        if role.contains('g') && held == 0 && w.st != Free { self.go("get: G1 own count += 1", w.g, move |n, t| { n.cnt[t] += 1; n.th[t].g = w.g; n.th[t].pc = P3 }) }
        if role.contains('x') && held == 0 && w.st != Free {
            for to in [NONE, s.now + 1] { if to <= self.m.last { self.go("extend: E1 own count += 1", to, move |n, t| { let th = &mut n.th[t]; th.g = w.g; th.to = to; th.extend = true; th.pc = if bare { E2 } else { P3 }; if !bare { n.cnt[t] += 1 } }) } }
        }
        if held != 0 { self.go("drop the view: own count -= 1", held - 1, move |n, t| { n.cnt[t] -= 1; n.th[t].held = 0; n.th[t].g = held - 1; n.th[t].pc = UnLoad }) }
        if role.contains('e') && w.st == Ready { self.go("evict: CAS READY -> RETIRED", w.g, move |n, t| { n.w.st = Retired; n.th[t].w = n.w; n.th[t].act = t as u8; n.th[t].pc = TScan }) }
        if role.contains('s') && (w.st == Ready || self.is("deadline_before_word")) { let pc = if self.is("deadline_before_word") { X2 } else { X1 }; self.go("sweep: a slot", w.g, move |n, t| n.th[t].pc = pc) }
        for d in 0..NT { if s.dead[d] && s.elect[d] == NO { self.go("reap: elected (M8)", d as u8, move |n, t| { n.elect[d] = t as u8; n.th[t].act = d as u8; n.th[t].pc = R1 }) } }
    }
    fn put(&mut self) {
        let th = self.s.th[self.t].clone();
        let (g, to) = (th.g, th.to);
        let (late, lazy) = (self.is("reset_after_ready"), self.is("no_reset_without_a_lease"));
        match th.pc {
            W1b => self.go("put: W1b deadline = 0 or d", to, move |n, t| { if !late && !(lazy && to == NONE) { n.dl = to } n.th[t].pc = W4 }),
            W4 => self.go("put: W4 word = READY", g, move |n, t| { n.w = Word { g, st: Ready, own: NO }; n.due[g as usize] = if to == NONE { EVER } else { to }; if late { n.th[t].pc = WLate } else { n.fin(t) } }),
            _ => self.go("put: deadline after READY (mutant)", to, move |n, t| { n.dl = to; n.fin(t) }),
        }
    }
    fn get(&mut self) {
        let (s, t) = (self.s, self.t);
        let (th, w) = (s.th[t].clone(), s.w);
        let (g, loose) = (th.g, self.is("gone_without_cas"));
        let view = move |n: &mut S, t: usize| { n.bad |= n.gone[g as usize] as u8; n.th[t] = idle(g + 1) };
        let expired = move |n: &mut S, t: usize| { n.tell_gone(g); n.th[t].x4 = true; n.th[t].pc = Un };
        match th.pc {
            P3 => self.go("pin: load word", g, move |n, t| n.th[t].pc = if w.g != g || w.st != Ready { Un } else if th.extend { E2 } else { G2 }),
            Un => self.go("unpin: own count -= 1", g, move |n, t| { n.cnt[t] -= 1; n.th[t].pc = if th.x4 { X4 } else { UnLoad } }),
            UnLoad => self.go("RETIRED? try_reclaim", NO, move |n, t| if w.st == Retired { n.th[t].w = w; n.th[t].act = t as u8; n.th[t].pc = TScan } else { n.fin(t) }),
            G2 => self.go("get: G2 load deadline", s.dl, move |n, t| if n.dl == EXPIRED { expired(n, t) } else if !passed(n.dl, n.now) { view(n, t) } else if loose { n.tell_gone(g); n.th[t].pc = Un } else { n.th[t].d = n.dl; n.th[t].pc = G3 }),
            _ => self.go("get: G3 CAS d -> EXPIRED", th.d, move |n, t| if n.dl == th.d { n.dl = EXPIRED; expired(n, t) } else { n.th[t].pc = G2 }),
        }
    }
    fn extend(&mut self) {
        let (s, t) = (self.s, self.t);
        let (th, w) = (s.th[t].clone(), s.w);
        let (g, store, bare) = (th.g, self.is("extend_by_store"), self.is("extend_without_pin"));
        let end = move |n: &mut S, t: usize| if bare { n.fin(t) } else { n.th[t].pc = Un };
        match th.pc {
            E2 => self.go("extend: E2 load deadline", s.dl, move |n, t| if n.dl == EXPIRED { n.tell_gone(g); n.th[t].x4 = true; end(n, t) } else { n.th[t].d = n.dl; n.th[t].pc = E3 }),
            _ => self.go("extend: E3 CAS d -> d'", th.to, move |n, t| if n.dl == th.d || store {
                n.dl = th.to;
                if w.g != g { n.bad |= 2 } else { if n.gone[g as usize] { n.bad |= 1 } n.due[g as usize] = if th.to == NONE { EVER } else { th.to } }
                end(n, t)
            } else { n.th[t].pc = E2 }),
        }
    }
    fn expire(&mut self) {
        let (s, t) = (self.s, self.t);
        let (th, w) = (s.th[t].clone(), s.w);
        let (no_cas, other, unfinished, any) = (self.is("retire_without_cas"), self.is("deadline_before_word"), self.is("expired_is_not_finished"), self.is("retire_any_generation"));
        match th.pc {
            X1 => self.go("expire: X1 load word READY(g)?", w.g, move |n, t| if w.st != Ready { n.fin(t) } else { n.th[t].g = w.g; n.th[t].pc = if !other { X2 } else if th.d == EXPIRED { X4 } else { X3 } }),
            X2 => self.go("expire: X2 load deadline", s.dl, move |n, t| { n.th[t].d = n.dl;
                if other { if n.dl == EXPIRED || passed(n.dl, n.now) { n.th[t].pc = X1 } else { n.fin(t) } }
                else if n.dl == EXPIRED { if unfinished { n.fin(t) } else { n.th[t].pc = X4 } } else if !passed(n.dl, n.now) { n.fin(t) } else { n.th[t].pc = if no_cas { X4 } else { X3 } } }),
            X3 => self.go("expire: X3 CAS d -> EXPIRED", th.d, move |n, t| n.th[t].pc = if n.dl == th.d { n.dl = EXPIRED; X4 } else if other { X2 } else { X1 }),
            _ => self.go("expire: X4 CAS READY(g) -> RETIRED", th.g, move |n, t| if w.st == Ready && (w.g == th.g || any) {
                let due = n.due[w.g as usize];
                if due == EVER || due > n.now { n.bad |= 4 }
                n.w.st = Retired; n.th[t].w = n.w; n.th[t].act = t as u8; n.th[t].pc = TScan
            } else { n.th[t].pc = UnLoad }),
        }
    }
    fn reclaim(&mut self) {
        let (th, w) = (self.s.th[self.t].clone(), self.s.w);
        let (d, a) = (th.act, th.act as usize);
        let end = move |n: &mut S, t: usize| { if n.elect[a] == t as u8 { n.elect[a] = NO; n.dead[a] = false } n.fin(t) };
        match th.pc {
            TScan => self.go("try_reclaim: any count?", NO, move |n, t| if n.cnt.iter().any(|c| *c > 0) { end(n, t) } else { n.th[t].pc = TCas }),
            TCas => self.go("try_reclaim: CAS RETIRED -> RECLAIMING", NO, move |n, t| if w == th.w { n.w.st = Reclaiming; n.w.own = d; n.th[t].pc = TFree } else { end(n, t) }),
            TFree => self.go("try_reclaim: word = FREE + 1", NO, move |n, t| { n.w = Word { g: w.g + 1, ..W0 }; end(n, t) }),
            _ => self.go("reap: WRITING, RECLAIMING -> FREE + 1; count = 0", d, move |n, t| {
                if w.own == d && matches!(w.st, Writing | Reclaiming) { n.w = Word { g: w.g + 1, ..W0 } }
                n.cnt[a] = 0;
                if w.st == Retired { n.th[t].w = w; n.th[t].pc = TScan } else { end(n, t) } }),
        }
    }
}
impl Model for M {
    type S = S;
    fn procs(&self) -> u8 { NT as u8 }
    fn busy(&self, s: &S, p: u8) -> bool { !matches!(s.th[p as usize].pc, Idle | Crashed) }
    fn init(&self) -> Vec<S> {
        vec![S { w: W0, dl: NONE, now: 0, cnt: [0; NT], dead: [false; NT], elect: [NO; NT], th: [idle(0), idle(0), idle(0)], crashes: 0, due: [0; NG], gone: [false; NG], bad: 0 }]
    }
    fn next(&self, s: &S, out: &mut Vec<Step<S>>) {
        if s.now < self.last { let mut n = s.clone(); n.now += 1; out.push(Step { who: 99, what: "time passes", arg: n.now as i32, crash: false, to: n }) }
        for t in 0..NT {
            At { m: self, s, t, out }.step();
            if s.th[t].pc == Crashed || s.crashes >= self.crashes { continue }
            let mut n = s.clone();
            n.crashes += 1;
            n.dead[t] = true;
            n.th[t] = Th { pc: Crashed, ..idle(0) };
            for x in n.elect.iter_mut() { if *x == t as u8 { *x = NO } }
            out.push(Step { who: t as u8, what: "CRASH", arg: -1, crash: true, to: n });
        }
    }
    fn quiescent(&self, s: &S) -> bool {
        let overdue = s.w.st == Ready && (s.dl == EXPIRED || passed(s.dl, s.now));
        s.th.iter().all(|t| matches!(t.pc, Idle | Crashed)) && s.dead.iter().all(|d| !d) && !overdue
    }
    fn invariant(&self, s: &S) -> Result<(), String> {
        if s.bad & 1 != 0 { return Err("somebody was told that it expired, and then it was there".into()) }
        if s.bad & 2 != 0 { return Err("another object's deadline was set".into()) }
        if s.bad & 4 != 0 { return Err("an object expired before its time".into()) }
        for t in 0..NT { let held = s.th[t].held; if held != 0 && (s.cnt[t] == 0 || s.w.g != held - 1 || !matches!(s.w.st, Ready | Retired)) { return Err("a view's object is gone".into()) } }
        if !self.quiescent(s) { return Ok(()) }
        match s.w.st {
            Writing | Reclaiming => Err("quiescent: a slot leaked".into()),
            Retired if s.th.iter().all(|t| t.held == 0) => Err("quiescent: RETIRED, unpinned".into()),
            _ => Ok(()),
        }
    }
}

fn main() {
    let base = |role, crashes| M { role, crashes, gens: 2, last: 2, mutant: "" };
    // All sweep, so that any survivor does.
    let three = ["ps", "gxs", "es"];
    let mut ok = true;
    ok &= run("M10 put | get, extend | evict, all sweep, 1 crash", &base(three, 1), Opts { solo: 60, ..Opts::default() });
    ok &= run("M10 put, extend | get, extend, two crashes", &base(["pxs", "gxs", "s"], 2), Opts { solo: 60, ..Opts::default() });
    if std::env::args().any(|a| a == "big") {
        ok &= run("M10 put | get, extend | evict, 3 objects, 2 crashes", &M { gens: 3, last: 3, ..base(three, 2) }, Opts { live: false, ..Opts::default() });
        ok &= run("M10 two do everything, sweeper, 1 crash", &base(["pgxes", "pgxes", "s"], 1), Opts { max: 100_000_000, live: false, solo: 0 });
    }
    for mu in ["reset_after_ready", "no_reset_without_a_lease", "retire_without_cas", "extend_without_pin", "extend_by_store", "gone_without_cas", "deadline_before_word", "retire_any_generation"] {
        ok &= must_fail(&format!("M10 mutant {mu}"), &M { mutant: mu, ..base(three, 1) }, Opts::default());
    }
    ok &= must_fail("M10 mutant expired_is_not_finished", &M { mutant: "expired_is_not_finished", ..base(["ps", "s", "s"], 1) }, Opts::default());
    println!("M10 {}", if ok { "ALL AS EXPECTED" } else { "UNEXPECTED RESULTS" });
}

//! M9: objects bound to a process: evicted when it ends, however it ends; and bonds handed to another (`protocol::bond`).
//!
//! A bond is in the slot word: READY(g, p, BOUND). An owner without BOUND is a bucket's binder and no bond.
//!
//! put bound  W1 CAS FREE -> WRITING(me) · W4 word = READY(g, me, BOUND), one store: there is no instant without the bond
//! bind       B1 load READY(g), no owner · B2 CAS that word -> READY(g, me, BOUND)
//! lift       L1 load READY(g, me, BOUND) · L2 CAS that word -> READY(g), no owner
//! offer      O1 load READY(g, me, BOUND) · O2 n = offers += 1 · O3 CAS that word -> READY(g, me, BOUND, OFFERED); the
//!            token is (key, n), and may be sent to anybody, any number of times
//! adopt      A1 load READY(g, s, BOUND, OFFERED) · A2 load offers: n? · A3 CAS that word -> READY(g, me, BOUND).
//!            Until A3 it dies with the sender, from A3 on with the receiver; a token that nobody follows changes nothing.
//! evict, take  as ever, from READY whatever owner and flags say; BOUND and OFFERED go, WAITERS stay
//! end        D1 of who leaves and R1h of a reaper, before VACANT: H1 load READY(g, p, BOUND) · H2 CAS *that word* ->
//!            RETIRED(g) · try_reclaim. Not an evict by key: that would take what was adopted between H1 and H2.
//! fork       a child has none of its parent's bonds: its tag is another. Its views are its own pins.
//!
//! All are CAS loops on flags (a lost CAS looks again; here: gives up). Killed before the CAS: nothing; after it: the bond
//! is in the word. A stopped reaper between H1 and H2: its CAS fails, or the word is still that of the dead.
//! Nobody's tag is in a bond when its entry becomes VACANT, so a bond never passes to the next holder of a number.
//! A token outlives everybody here, and is tried again and again: nobody loses what he has not offered, whoever has the
//! sender's number by then; and whoever begins to adopt after the token was used is refused, because A2 comes after A1.
use mc::*;

const NT: usize = 4;
const NE: usize = 3;
const NG: usize = 2;
const NO: u8 = 9;
const OFFERS: usize = 2;
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum St { Free, Writing, Ready, Retired, Reclaiming }
use St::*;
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Word { g: u8, st: St, own: u8, bound: bool, off: bool }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Pr { Vacant, Active, Dying }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Pc { Unborn, Idle, Crashed, W4, W5, B2, L2, O2, O3, A1, A2, A3, P3, Un, UnLoad, T2, ELoad, ECas, D2, R0, R1f, R1g, H1, H2, H2Key, R4, TScan, TCas, TFree }
use Pc::*;
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Th { pc: Pc, my: u8, held: u8, take: bool, g: u8, w: Word, act: u8, back: Pc, tok: u8, n: u8, late: bool } // tok: which token; n: the number seen or made; late: it was used when this began
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct S { w: Word, cnt: [u8; NE], en: [Pr; NE], life: [u8; NE], elect: [u8; NE], th: [Th; NT], crashes: u8, joins: u8,
           offers: u8, token: [u8; OFFERS], used: [bool; OFFERS], given: bool, by: u8, wanted: bool, bad: u8 } // token: of which generation, NO: not made; given: ghost of OFFERED; by: the process that holds the bond; wanted: put as bound
const W0: Word = Word { g: 0, st: Free, own: NO, bound: false, off: false };
fn nobody() -> Th { Th { pc: Idle, my: NO, held: 0, take: false, g: 0, w: W0, act: NO, back: Idle, tok: 0, n: 0, late: false } }
fn done(th: &mut Th) { *th = Th { my: th.my, held: th.held, ..nobody() } }

struct M { role: [&'static str; NT], at: [u8; NT], crashes: u8, mutant: &'static str }
struct At<'a> { m: &'a M, s: &'a S, t: usize, out: &'a mut Vec<Step<S>> }
impl S {
    fn alive(&self, t: usize) -> bool { !matches!(self.th[t].pc, Crashed | Unborn) }
    fn bond(&mut self, t: usize, w: Word) { self.w = Word { own: self.th[t].my, bound: true, off: false, ..w }; self.by = t as u8; self.given = false }
    fn retire(&mut self, t: usize, act: u8, back: Pc) { self.w.st = Retired; self.w.bound = false; self.w.off = false; self.given = false; self.by = NO; self.wanted = false; let w = self.w; let th = &mut self.th[t]; th.w = w; th.act = act; th.back = back; th.pc = TScan }
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
            Crashed | Unborn => {}
            Idle => { self.idle_process(); self.idle_bond(); self.idle_use() }
            W4 | W5 | B2 | L2 => self.bond(),
            O2 | O3 | A1 | A2 | A3 => self.hand_over(),
            P3 | Un | UnLoad | T2 | ELoad | ECas => self.use_it(),
            TScan | TCas | TFree => self.reclaim(),
            _ => self.reap(),
        }
    }
    fn idle_process(&mut self) {
        let (s, t, role) = (self.s, self.t, self.m.role[self.t]);
        let my = s.th[t].my;
        for e in 0..NE {
            let free = s.en[e] == Pr::Vacant && s.life[e] == NO;
            if my == NO && role.contains('j') && free && s.joins < 2 { self.go("join, whole (M8)", e as u8, move |n, t| { n.life[e] = t as u8; n.en[e] = Pr::Active; n.th[t].my = e as u8; n.joins += 1 }) }
            if role.contains('r') && s.en[e] != Pr::Vacant && s.life[e] == NO && s.elect[e] == NO { self.go("reap: R0 elected (M8)", e as u8, move |n, t| { n.elect[e] = t as u8; n.th[t].act = e as u8; n.th[t].back = R4; n.th[t].pc = R0 }) }
            if my != NO && role.contains('k') && free && s.th[3].pc == Unborn {
                self.go("fork, whole (M6)", e as u8, move |n, t| { n.life[e] = 3; n.en[e] = Pr::Active; n.cnt[e] = n.cnt[my as usize]; n.th[3] = Th { my: e as u8, held: n.th[t].held, ..nobody() } });
            }
        }
        if my != NO && role.contains('l') && s.th[t].held == 0 {
            self.go("leave: D1 sweep for itself", my, move |n, t| { n.th[t].act = my; n.th[t].back = D2; n.th[t].pc = R1f });
        }
    }
    fn idle_bond(&mut self) {
        let (s, t, role) = (self.s, self.t, self.m.role[self.t]);
        let (my, w) = (s.th[t].my, s.w);
        if my == NO { return }
        let free = w.st == Free && (w.g as usize) < NG;
        for bound in [false, true] {
            if free && role.contains(if bound { 'P' } else { 'p' }) { self.go("put: W1 CAS FREE -> WRITING(me)", w.g, move |n, t| { n.w = Word { st: Writing, own: my, ..w }; n.th[t].g = w.g; n.th[t].take = bound; n.th[t].pc = W4 }) }
        }
        let (ready, mine) = (w.st == Ready, w.bound && w.own == my && !w.off);
        let seen = |n: &mut S, t: usize, pc| { n.th[t].w = w; n.th[t].pc = pc };
        if ready && w.own == NO && role.contains('b') { self.go("bind: B1 load READY, no owner", w.g, move |n, t| seen(n, t, B2)) }
        let parents = self.is("child_acts_as_parent") && t == 3 && w.bound && w.own == 0;
        if ready && (mine || parents) && role.contains('u') { self.go("lift: L1 load READY(me, BOUND)", w.g, move |n, t| seen(n, t, L2)) }
        if ready && mine && role.contains('o') && (s.offers as usize) < OFFERS { self.go("offer: O1 load READY(me, BOUND)", w.g, move |n, t| seen(n, t, O2)) }
        for k in 0..OFFERS { if s.token[k] != NO && role.contains('a') {
            let first = if self.is("number_before_word") { A2 } else { A1 };
            self.go("adopt: a token came", k as u8 + 1, move |n, t| { n.th[t].tok = k as u8; n.th[t].late = n.used[k]; n.th[t].pc = first })
        } }
    }
    fn idle_use(&mut self) {
        let (s, t, role) = (self.s, self.t, self.m.role[self.t]);
        let (my, w, held) = (s.th[t].my, s.w, s.th[t].held);
        if my == NO { return }
        if held == 0 && w.st != Free {
            for take in [false, true] { if role.contains(if take { 't' } else { 'v' }) { self.go("pin: own count += 1", w.g, move |n, t| { n.cnt[my as usize] += 1; n.th[t].g = w.g; n.th[t].take = take; n.th[t].pc = P3 }) } }
        }
        if held != 0 { self.go("unpin: own count -= 1", held - 1, move |n, t| { n.cnt[my as usize] -= 1; n.th[t].held = 0; n.th[t].pc = UnLoad }) }
        if w.st == Ready && role.contains('e') { self.go("evict", w.g, move |n, t| { n.th[t].g = w.g; n.th[t].pc = ELoad }) }
    }
    fn bond(&mut self) {
        let (s, t) = (self.s, self.t);
        let (th, w) = (s.th[t].clone(), s.w);
        let late = self.is("bound_after_ready");
        match th.pc {
            W4 => self.go("put: W4 word = READY, or READY(me, BOUND)", th.g, move |n, t| {
                n.w = Word { g: th.g, st: Ready, ..W0 }; n.wanted = th.take;
                if th.take && late { n.th[t].pc = W5 } else { if th.take { let w = n.w; n.bond(t, w) } done(&mut n.th[t]) } }),
            W5 => self.go("put: bind what is READY already (mutant)", th.g, move |n, t| { if w.g == th.g && w.st == Ready && w.own == NO { n.bond(t, w) } done(&mut n.th[t]) }),
            B2 => { let any = self.is("bind_by_store"); self.go("bind: B2 CAS", w.g, move |n, t| { if w == th.w || any { n.bond(t, th.w) } done(&mut n.th[t]) }) }
            _ => { let any = self.is("lift_by_store"); self.go("lift: L2 CAS", w.g, move |n, t| { if w == th.w || any { if n.by != t as u8 { n.bad = 2 } n.w = Word { own: NO, bound: false, ..th.w }; n.by = NO; n.wanted = false } done(&mut n.th[t]) }) }
        }
    }
    fn hand_over(&mut self) {
        let (s, t) = (self.s, self.t);
        let (th, w, k) = (s.th[t].clone(), s.w, s.th[t].tok as usize);
        let gives_up = |n: &mut S, t: usize| done(&mut n.th[t]);
        let (wrong_order, any_number) = (self.is("number_before_word"), self.is("number_not_compared"));
        match th.pc {
            O2 => self.go("offer: O2 offers += 1", s.offers, move |n, t| if n.offers as usize == OFFERS { gives_up(n, t) } else { n.offers += 1; n.th[t].n = n.offers; n.th[t].pc = O3 }),
            O3 => self.go("offer: O3 CAS that word -> OFFERED", th.n, move |n, t| {
                if w == th.w { n.w.off = true; n.given = true; n.token[th.n as usize - 1] = w.g }
                done(&mut n.th[t]) }),
            A1 => { let any = self.is("adopt_what_is_not_offered"); self.go("adopt: A1 load READY(s, BOUND, OFFERED)", s.token[k], move |n, t| {
                if w.g == n.token[k] && w.st == Ready && w.bound && (w.off || any) { n.th[t].w = w; n.th[t].pc = if wrong_order { A3 } else { A2 } } else { gives_up(n, t) } }) }
            A2 => self.go("adopt: A2 load offers", s.offers, move |n, t| if n.offers as usize == k + 1 || any_number { n.th[t].pc = if wrong_order { A1 } else { A3 } } else { gives_up(n, t) }),
            _ => { let any = self.is("adopt_by_store"); self.go("adopt: A3 CAS", w.g, move |n, t| {
                if w == th.w || any {
                    if !n.given { n.bad = 3 }
                    if th.late { n.bad = 4 }
                    n.used[k] = true;
                    n.bond(t, th.w)
                }
                done(&mut n.th[t]) }) }
        }
    }
    fn use_it(&mut self) {
        let (th, w) = (self.s.th[self.t].clone(), self.s.w);
        let (my, g) = (th.my as usize, th.g);
        match th.pc {
            P3 => self.go("pin: load word", g, move |n, t| if w.g == g && w.st == Ready { n.th[t].held = g + 1; if th.take { n.th[t].w = w; n.th[t].pc = T2 } else { done(&mut n.th[t]) } } else { n.th[t].pc = Un }),
            Un => self.go("pin: own count -= 1", g, move |n, t| { n.cnt[my] -= 1; n.th[t].pc = UnLoad }),
            UnLoad => self.go("RETIRED? try_reclaim", NO, move |n, t| if w.st == Retired { n.th[t].w = w; n.th[t].act = my as u8; n.th[t].back = Idle; n.th[t].pc = TScan } else { done(&mut n.th[t]) }),
            T2 => self.go("take: T2 CAS READY -> RETIRED", g, move |n, t| if w == th.w { n.retire(t, NO, Idle); done(&mut n.th[t]) } else if w.g == g && w.st == Ready { n.th[t].w = w } else { n.th[t].held = 0; n.th[t].pc = Un }),
            ELoad => self.go("evict: load word", g, move |n, t| if w.g == g && w.st == Ready { n.th[t].w = w; n.th[t].pc = ECas } else { done(&mut n.th[t]) }),
            _ => self.go("evict: CAS -> RETIRED", g, move |n, t| if w == th.w { n.retire(t, my as u8, Idle) } else { n.th[t].pc = ELoad }),
        }
    }
    fn reap(&mut self) {
        let (s, t) = (self.s, self.t);
        let (th, w, d, e) = (s.th[t].clone(), s.w, s.th[t].act, s.th[t].act as usize);
        let ends = move |n: &mut S, t: usize| { if n.by != NO && n.by != t as u8 && n.alive(n.by as usize) { n.bad = 1 } n.retire(t, d, n.th[t].back) };
        let (by_key, none, late) = (self.is("evict_by_key"), self.is("no_bound_step"), self.is("vacant_before_bound_step"));
        match th.pc {
            R0 => self.go("reap: CAS -> DYING", d, move |n, t| { n.en[e] = Pr::Dying; if late { n.en[e] = Pr::Vacant; n.elect[e] = NO } n.th[t].pc = R1f }),
            R1f => self.go("reap: WRITING, RECLAIMING -> FREE + 1; count = 0", d, move |n, t| { if w.own == d && matches!(w.st, Writing | Reclaiming) { n.w = Word { g: w.g + 1, ..W0 } } n.cnt[e] = 0; n.th[t].pc = R1g }),
            R1g => self.go("reap: R1g RETIRED? try_reclaim", d, move |n, t| if w.st == Retired { n.th[t].w = w; n.th[t].pc = TScan } else { n.th[t].pc = H1 }),
            H1 => self.go("end: H1 load READY(d, BOUND)?", d, move |n, t| { n.th[t].w = w; n.th[t].pc = if w.st == Ready && w.bound && w.own == d && !none { if by_key { H2Key } else { H2 } } else { th.back } }),
            H2 => self.go("end: H2 CAS that word -> RETIRED", d, move |n, t| if w == th.w { ends(n, t) } else { n.th[t].pc = H1 }),
            H2Key => self.go("end: evict by key (mutant)", d, move |n, t| if w.g == th.w.g && w.st == Ready { ends(n, t) } else { n.th[t].pc = th.back }),
            R4 => self.go("reap: VACANT, unlock election", d, move |n, t| { if !late { n.en[e] = Pr::Vacant; n.elect[e] = NO } done(&mut n.th[t]) }),
            _ => self.go("leave: D2 VACANT, unlock", d, move |n, t| { n.en[e] = Pr::Vacant; n.life[e] = NO; n.th[t].my = NO; done(&mut n.th[t]) }),
        }
    }
    fn reclaim(&mut self) {
        let (th, w) = (self.s.th[self.t].clone(), self.s.w);
        let after = move |th: &mut Th| if th.back == Idle { done(th) } else { th.pc = H1 };
        match th.pc {
            TScan => self.go("try_reclaim: any count?", NO, move |n, t| if n.cnt.iter().any(|c| *c > 0) { after(&mut n.th[t]) } else { n.th[t].pc = TCas }),
            TCas => self.go("try_reclaim: CAS RETIRED -> RECLAIMING", NO, move |n, t| if w == th.w { n.w.st = Reclaiming; n.w.own = th.act; n.th[t].pc = TFree } else { after(&mut n.th[t]) }),
            _ => self.go("try_reclaim: word = FREE + 1", NO, move |n, t| { n.w = Word { g: w.g + 1, ..W0 }; after(&mut n.th[t]) }),
        }
    }
}
impl Model for M {
    type S = S;
    fn procs(&self) -> u8 { NT as u8 }
    fn busy(&self, s: &S, p: u8) -> bool { !matches!(s.th[p as usize].pc, Idle | Crashed | Unborn) }
    fn init(&self) -> Vec<S> {
        let mut s = S { w: W0, cnt: [0; NE], en: [Pr::Vacant; NE], life: [NO; NE], elect: [NO; NE], th: [nobody(), nobody(), nobody(), nobody()], crashes: 0, joins: 0, offers: 0, token: [NO; OFFERS], used: [false; OFFERS], given: false, by: NO, wanted: false, bad: 0 };
        for t in 0..NT {
            let e = self.at[t];
            if self.role[t].is_empty() { s.th[t].pc = Crashed }
            if self.role[t].contains('c') { s.th[t].pc = Unborn }
            if e != NO { s.th[t].my = e; s.en[e as usize] = Pr::Active; s.life[e as usize] = t as u8 }
        }
        vec![s]
    }
    fn next(&self, s: &S, out: &mut Vec<Step<S>>) {
        for t in 0..NT {
            At { m: self, s, t, out }.step();
            if !s.alive(t) || s.crashes >= self.crashes { continue }
            let mut n = s.clone();
            n.crashes += 1;
            n.th[t] = Th { pc: Crashed, ..nobody() };
            for x in n.life.iter_mut().chain(n.elect.iter_mut()) { if *x == t as u8 { *x = NO } }
            out.push(Step { who: t as u8, what: "CRASH", arg: -1, crash: true, to: n });
        }
    }
    fn quiescent(&self, s: &S) -> bool {
        let reaper = (0..NT).any(|t| s.alive(t) && self.role[t].contains('r'));
        s.th.iter().all(|t| matches!(t.pc, Idle | Crashed | Unborn)) && (!reaper || (0..NE).all(|e| s.en[e] == Pr::Vacant || s.life[e] != NO))
    }
    fn invariant(&self, s: &S) -> Result<(), String> {
        match s.bad { 1 => return Err("evicted by a reaper, though its owner lives".into()), 2 => return Err("a bond was lifted by another".into()), 3 => return Err("adopted what was not offered".into()), 4 => return Err("a used token was adopted anew".into()), _ => {} }
        for t in 0..NT {
            let th = &s.th[t];
            if !s.alive(t) || th.my == NO { continue }
            if th.held != 0 && (s.cnt[th.my as usize] == 0 || s.w.g != th.held - 1 || !matches!(s.w.st, Ready | Retired)) { return Err(format!("a view of process {t} lost its object")) }
            if s.by == t as u8 && (s.w.st != Ready || !s.w.bound || s.w.own != th.my) { return Err(format!("process {t} holds a bond of which the word knows nothing")) }
        }
        if s.w.off && !s.w.bound { return Err("OFFERED and not BOUND".into()) }
        if s.w.bound && s.w.st != Ready { return Err("BOUND and not READY".into()) }
        if s.w.bound && s.en[s.w.own as usize] == Pr::Vacant { return Err("bound to a vacant entry".into()) }
        if !self.quiescent(s) || (0..NE).any(|e| s.en[e] != Pr::Vacant && s.life[e] == NO) { return Ok(()) }
        match s.w.st {
            Writing | Reclaiming => Err("quiescent: a slot leaked".into()),
            Retired if s.th.iter().all(|t| t.held == 0) => Err("quiescent: RETIRED, unpinned".into()),
            Ready if s.w.bound && !s.alive(s.by as usize) => Err("quiescent: bound to somebody who is gone".into()),
            Ready if s.wanted && !s.w.bound => Err("quiescent: put as bound, and outlives its process".into()),
            _ => Ok(()),
        }
    }
}

fn main() {
    let base = |role, at, crashes| M { role, at, crashes, mutant: "" };
    let o = || Opts { solo: 60, ..Opts::default() };
    let owners = || base(["pPbul", "jPb", "vte", "r"], [0, NO, 1, NO], 2);
    let adopters = || base(["Pbuol", "auol", "e", "r"], [0, 1, 2, NO], 2);
    // Tokens go round: both offer and adopt.
    let round = || base(["Poa", "oa", "", "r"], [0, 1, NO, NO], 1);
    let forked = || base(["Pbukv", "e", "r", "cuv"], [0, 1, NO, NO], 2);
    let mut ok = true;
    ok &= run("M9 two holders of one id, pin, take, evict, reaper", &owners(), o());
    ok &= run("M9 bind, lift, offer, adopt, evict, leave, reaper", &adopters(), o());
    ok &= run("M9 two who hand it round, with every token there ever was", &round(), o());
    ok &= run("M9 tokens of the dead, whose number is used again", &base(["Po", "jPoa", "a", "r"], [0, NO, 1, NO], 2), o());
    ok &= run("M9 a child forked over a bond", &forked(), o());
    if std::env::args().any(|a| a == "big") {
        ok &= run("M9 everything, two owners, reaper, 3 crashes", &base(["pPbuoalv", "jpPbuoalv", "vter", "r"], [0, NO, 1, NO], 3), Opts { max: 100_000_000, ..Opts::default() });
    }
    for mu in ["no_bound_step", "bound_after_ready", "bind_by_store", "vacant_before_bound_step"] { ok &= must_fail(&format!("M9 mutant {mu}"), &M { mutant: mu, ..owners() }, Opts::default()) }
    for mu in ["evict_by_key", "lift_by_store", "adopt_by_store", "adopt_what_is_not_offered"] { ok &= must_fail(&format!("M9 mutant {mu}"), &M { mutant: mu, ..adopters() }, Opts::default()) }
    for mu in ["number_before_word", "number_not_compared"] { ok &= must_fail(&format!("M9 mutant {mu}"), &M { mutant: mu, ..round() }, Opts::default()) }
    ok &= must_fail("M9 mutant child_acts_as_parent", &M { mutant: "child_acts_as_parent", ..forked() }, Opts::default());
    println!("M9 {}", if ok { "ALL AS EXPECTED" } else { "UNEXPECTED RESULTS" });
}

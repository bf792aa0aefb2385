//! M8: participant ids are used again: join · leave · reap · what carries an id's tag. (docs/design.md, Participants,
//! Reaping, Promise)
//!
//! Tags carry the id only, never the incarnation. So whatever a process claims under an id must be safe from a reaper of
//! an earlier holder, however late that reaper goes on, and nothing of an earlier holder may pass for the next one's.
//!
//! join   J1 VACANT? · J2 lock life · J3 still VACANT? · J5 CAS VACANT -> ACTIVE, incarnation + 1
//! leave  D1 sweep for itself · D2 VACANT · D3 unlock
//! exit   LEAVING by a store, and go on working
//! reap   R0 not VACANT, life free? · lock election · read w · life still free? · CAS w -> DYING
//!        R1a linked · R1b keeper · R1c WRITING, RECLAIMING · R1d FILLING · R1e PENDING unkept · R1f count · R1g RETIRED
//!        R3 unit · R4 VACANT · unlock election
//! wait   K1 load keeper · K2 load word, same generation, promised? · K3 keeper's life free? · K4 CAS PENDING -> BROKEN
//!        K5 else load word: FILLING(q)? · K6 q's life free? · K7 CAS that word -> DOOMED in: told that it broke
//!
//! A step of a process stopped for long is any step that comes after everybody else's. One slot, its cell, one unit, one
//! bucket word. What a fill does with a reaper of its own, EVICTED and sleep are M3's; two versions are M7's.
use mc::*;

const NT: usize = 4;
const NE: usize = 3;
const NG: usize = 3;
const NO: u8 = 9;
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum St { Free, Writing, Pending, Filling, Ready, Broken, Retired, Reclaiming }
use St::*;
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Word { g: u8, st: St, own: u8, doomed: bool }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Pr { Vacant, Active, Leaving, Dying }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Entry { inc: u8, pr: Pr }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Unit { Cold, Warming(u8), Free }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Pc {
    Idle, Crashed, J3, J5, JUndo, D2, D3,
    W1a, W2, W3, W4, S3, S4, S6, S7, N2, N3, F2, F2b, F3, P3, Un, UnLoad, U2, E5b,
    K1, K2, K3, K4, K5, K6, K7,
    RLock, RRead, RAsk, RCas, RDrop, R1a, R1aEvict, R1b, R1c, R1cBlock, R1cFree, R1dNone, R1dCas, R1e, R1eKeeper, R1f, R1g,
    R3, R3Punch, R3Cas, R4, R5, TScan, TCas, TBlock, TFree,
}
use Pc::*;
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Th { pc: Pc, my: u8, inc: u8, held: u8, g: u8, w: Word, e: u8, seen: Entry, act: u8, back: Pc, k: u8, cell: bool }
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct S {
    w: Word, keeper: u8, intent: bool, cell: bool, link: bool, cur: u8, cnt: [u8; NE], unit: Unit,
    en: [Entry; NE], life: [u8; NE], elect: [u8; NE], th: [Th; NT], crashes: u8, closes: u8,
    kept_by: u8, told: [bool; NG], valued: [bool; NG], bad: u8,
}
const W0: Word = Word { g: 0, st: Free, own: NO, doomed: false };
const EN0: Entry = Entry { inc: 0, pr: Pr::Vacant };
fn nobody() -> Th { Th { pc: Idle, my: NO, inc: 0, held: 0, g: 0, w: W0, e: 0, seen: EN0, act: NO, back: Idle, k: NO, cell: false } }
fn done(th: &mut Th) { *th = Th { my: th.my, inc: th.inc, held: th.held, ..nobody() } }

struct M { role: [&'static str; NT], at: [u8; NT], entries: usize, crashes: u8, mutant: &'static str }
struct At<'a> { m: &'a M, s: &'a S, t: usize, out: &'a mut Vec<Step<S>> }
impl M { fn is(&self, x: &str) -> bool { self.mutant == x } }
impl S {
    fn alive(&self, t: usize) -> bool { self.th[t].pc != Crashed }
    fn is_live_keeper(&self) -> bool { self.kept_by != NO && self.alive(self.kept_by as usize) }
    fn break_promise(&mut self) { self.w.st = Broken; self.w.own = NO; self.w.doomed = false; if self.is_live_keeper() { self.bad = 1 } }
}
impl At<'_> {
    fn go(&mut self, what: &'static str, arg: u8, f: impl Fn(&mut S, usize)) {
        let mut n = self.s.clone();
        f(&mut n, self.t);
        self.out.push(Step { who: self.t as u8, what, arg: if arg == NO { -1 } else { arg as i32 }, crash: false, to: n });
    }
    fn is(&self, x: &str) -> bool { self.m.is(x) }
    fn step(&mut self) {
        match self.s.th[self.t].pc {
            Crashed => {}
            Idle => { self.idle_membership(); self.idle_objects(); self.idle_others() }
            J3 | J5 | JUndo | D2 | D3 => self.membership(),
            W1a | W2 | W3 | W4 | S3 | S4 | S6 | S7 => self.put(),
            N2 | N3 | F2 | F2b | F3 => self.promise(),
            P3 | Un | UnLoad | U2 | E5b => self.small(),
            K1 | K2 | K3 | K4 | K5 | K6 | K7 => self.wait(),
            RLock | RRead | RAsk | RCas | RDrop => self.elect(),
            R1a | R1aEvict | R1b | R1c | R1cBlock | R1cFree | R1dNone | R1dCas => self.sweep(),
            R1e | R1eKeeper | R1f | R1g | R3 | R3Punch | R3Cas | R4 | R5 => self.sweep_on(),
            TScan | TCas | TBlock | TFree => self.reclaim(),
        }
    }
    fn idle_membership(&mut self) {
        let (s, t, role) = (self.s, self.t, self.m.role[self.t]);
        let (my, in_region) = (s.th[t].my, s.th[t].my != NO);
        let early = self.is("active_before_lock");
        for e in 0..self.m.entries {
            if !in_region && role.contains('j') && s.en[e].pr == Pr::Vacant && s.en[e].inc < 3 {
                if early { self.go("join: ACTIVE before the lock (mutant)", e as u8, move |n, t| { n.en[e] = Entry { inc: s.en[e].inc + 1, pr: Pr::Active }; n.th[t].e = e as u8; n.th[t].pc = J5 }) }
                else if s.life[e] == NO { self.go("join: J2 lock life", e as u8, move |n, t| { n.life[e] = t as u8; n.th[t].e = e as u8; n.th[t].pc = J3 }) }
            }
            if role.contains('r') && s.en[e].pr != Pr::Vacant && s.life[e] == NO {
                self.go("reap: R0 looks dead", e as u8, move |n, t| { n.th[t].e = e as u8; n.th[t].pc = RLock });
            }
        }
        if in_region && role.contains('l') && s.th[t].held == 0 {
            let (sweep, first) = (!self.is("leave_without_undo"), self.is("unlock_before_vacant"));
            self.go("leave: D1 sweep for itself", my, move |n, t| { n.th[t].e = my; n.th[t].act = my; n.th[t].back = if first { D3 } else { D2 };
                n.kept_by = if n.kept_by == t as u8 { NO } else { n.kept_by }; n.th[t].pc = if sweep { R1a } else { D2 } });
        }
        if in_region && role.contains('x') && s.en[my as usize].pr == Pr::Active { let inc = s.th[t].inc; self.go("exit: store LEAVING", my, move |n, _| n.en[my as usize] = Entry { inc, pr: Pr::Leaving }) }
        if role.contains('d') && s.closes == 0 && s.elect.contains(&(t as u8)) { self.close() }
    }
    fn close(&mut self) { self.go("some library closes every descriptor: the election falls", NO, |n, t| { n.closes = 1; for x in n.elect.iter_mut() { if *x == t as u8 { *x = NO } } }) }
    fn membership(&mut self) {
        let th = self.s.th[self.t].clone();
        let (e, first) = (th.e as usize, self.is("unlock_before_vacant"));
        match th.pc {
            J3 => self.go("join: J3 still VACANT?", th.e, |n, t| { n.th[t].seen = n.en[e]; n.th[t].pc = if n.en[e].pr == Pr::Vacant { J5 } else { JUndo } }),
            J5 if self.is("active_before_lock") => self.go("join: lock life, late (mutant)", th.e, |n, t| { if n.life[e] == NO { n.life[e] = t as u8; n.th[t].my = th.e; n.th[t].inc = n.en[e].inc } done(&mut n.th[t]) }),
            J5 => self.go("join: J5 CAS VACANT -> ACTIVE", th.e, |n, t| if n.en[e] == th.seen { n.en[e] = Entry { inc: th.seen.inc + 1, pr: Pr::Active }; n.th[t].my = th.e; n.th[t].inc = th.seen.inc + 1; done(&mut n.th[t]) } else { n.th[t].pc = JUndo }),
            JUndo => self.go("join: let the byte go", th.e, |n, t| { n.life[e] = NO; done(&mut n.th[t]) }),
            D2 => self.go("leave: D2 VACANT", th.e, |n, t| { n.en[e] = Entry { inc: n.th[t].inc, pr: Pr::Vacant }; n.th[t].my = NO; if first { done(&mut n.th[t]) } else { n.th[t].pc = D3 } }),
            _ => self.go("leave: D3 unlock", th.e, |n, t| { n.life[e] = NO; n.th[t].my = NO; if first { n.th[t].pc = D2 } else { done(&mut n.th[t]) } }),
        }
    }
    fn idle_objects(&mut self) {
        let (s, role) = (self.s, self.m.role[self.t]);
        let (my, w) = (s.th[self.t].my, s.w);
        if my == NO { return }
        let free = w.st == Free && (w.g as usize) < NG;
        let claim = move |n: &mut S, t: usize, pc| { n.w = Word { st: Writing, own: my, ..w }; n.th[t].g = w.g; n.th[t].pc = pc };
        if role.contains('p') && free { self.go("put: W1 CAS FREE -> WRITING(me)", w.g, |n, t| { claim(n, t, W1a); n.th[t].k = NO }) }
        if role.contains('b') && free && s.cur == NO { self.go("bind: W1 CAS FREE -> WRITING(me)", w.g, |n, t| { claim(n, t, W1a); n.th[t].k = 0 }) }
        if role.contains('n') && free { self.go("reserve: N1 CAS FREE -> WRITING(me)", w.g, |n, t| claim(n, t, N2)) }
        if role.contains('s') && w.st == Pending { self.go("set: F1 CAS PENDING -> FILLING(me)", w.g, |n, t| { n.w.st = Filling; n.w.own = my; n.th[t].g = w.g; n.th[t].pc = F2 }) }
        if role.contains('w') && matches!(w.st, Pending | Filling) && !s.told[w.g as usize] { self.go("wait: a slice is over", w.g, |n, t| { n.th[t].g = w.g; n.th[t].pc = K1 }) }
    }
    fn idle_others(&mut self) {
        let (s, role, t) = (self.s, self.m.role[self.t], self.t);
        let (my, w, held) = (s.th[t].my, s.w, s.th[t].held);
        if my == NO { return }
        if role.contains('v') && held == 0 && w.st != Free { self.go("pin: P1 own count += 1", w.g, |n, t| { n.cnt[my as usize] += 1; n.th[t].g = w.g; n.th[t].pc = P3 }) }
        if held != 0 { self.go("unpin: U1 own count -= 1", held - 1, |n, t| { n.cnt[my as usize] -= 1; n.th[t].held = 0; n.th[t].pc = UnLoad }) }
        if role.contains('e') && s.cur == w.g && w.st == Ready { self.go("unbind: bucket -> empty", w.g, |n, t| { n.cur = NO; n.th[t].g = w.g; n.th[t].pc = E5b }) }
        if role.contains('e') && s.cur != w.g && matches!(w.st, Ready | Pending | Broken) && !(s.link && w.own != NO) { self.go("evict", w.g, |n, t| { n.th[t].g = w.g; n.th[t].pc = E5b }) }
        if role.contains('u') && s.unit == Unit::Cold { self.go("warm: CAS COLD -> WARMING(me)", NO, |n, t| { n.unit = Unit::Warming(my); n.th[t].pc = U2 }) }
        if role.contains('u') && s.unit == Unit::Free { self.go("trim, whole", NO, |n, _| n.unit = Unit::Cold) }
    }
    fn put(&mut self) {
        let th = self.s.th[self.t].clone();
        let (my, g) = (th.my as usize, th.g);
        match th.pc {
            W1a => self.go("put: W1a block = none", g, |n, t| { n.intent = false; n.th[t].pc = W2 }),
            W2 => self.go("put: W2 block = the intent", g, |n, t| { n.intent = true; n.th[t].pc = W3 }),
            W3 => self.go("put: W2 CAS cell 0 -> slot", g, |n, t| { if n.cell { n.bad = 2 } n.cell = true; n.th[t].pc = if th.k == 0 { S3 } else { W4 } }),
            W4 => self.go("put: W4 word = READY", g, |n, t| { n.w = Word { g, st: Ready, ..W0 }; done(&mut n.th[t]) }),
            S3 => self.go("bind: S3 link, pin, word = READY(me)", g, |n, t| { n.link = true; n.cnt[my] += 1; n.w = Word { g, st: Ready, own: my as u8, doomed: false }; n.th[t].pc = S4 }),
            S4 => self.go("bind: S4 CAS bucket empty -> n", g, |n, t| { if n.cur == NO { n.cur = g } n.th[t].pc = S6 }),
            S6 => self.go("bind: S6 link = none", g, |n, t| { n.link = false; n.th[t].pc = S7 }),
            _ => self.go("bind: S7 unpin", g, |n, t| { n.cnt[my] -= 1; n.th[t].pc = UnLoad }),
        }
    }
    fn promise(&mut self) {
        let th = self.s.th[self.t].clone();
        let g = th.g;
        match th.pc {
            N2 => self.go("reserve: N2 block, link = none, keeper = me", g, |n, t| { n.intent = false; n.link = false; n.keeper = th.my; n.th[t].pc = N3 }),
            N3 => self.go("reserve: N3 word = PENDING", g, |n, t| { n.w = Word { g, st: Pending, ..W0 }; n.kept_by = t as u8; done(&mut n.th[t]) }),
            F2 => self.go("set: F2 block = the intent", g, |n, t| { n.intent = true; n.th[t].pc = F2b }),
            F2b => self.go("set: F2 CAS cell 0 -> slot", g, |n, t| { if n.cell { n.bad = 2 } n.cell = true; n.th[t].pc = F3 }),
            _ => self.go("set: F3 CAS FILLING -> READY, or BROKEN if DOOMED", g, |n, t| { if n.w.doomed { n.break_promise() } else { n.w = Word { g, st: Ready, ..W0 }; n.valued[g as usize] = true } done(&mut n.th[t]) }),
        }
    }
    fn small(&mut self) {
        let th = self.s.th[self.t].clone();
        let (my, g, w) = (th.my, th.g, self.s.w);
        match th.pc {
            P3 => self.go("pin: P3 load word", g, |n, t| if w.st == Ready && w.g == g { n.th[t].held = g + 1; done(&mut n.th[t]) } else { n.th[t].pc = Un }),
            Un => self.go("pin: P4 own count -= 1", g, |n, t| { n.cnt[my as usize] -= 1; n.th[t].pc = UnLoad }),
            UnLoad => self.go("U2 RETIRED? try_reclaim", NO, |n, t| if w.st == Retired { n.th[t].w = w; n.th[t].act = my; n.th[t].back = Idle; n.th[t].pc = TScan } else { done(&mut n.th[t]) }),
            E5b => self.go("evict: E1 CAS -> RETIRED", g, |n, t| if w.g == g && matches!(w.st, Ready | Pending | Broken) { n.w.st = Retired; n.th[t].w = n.w; n.th[t].act = my; n.th[t].back = Idle; n.th[t].pc = TScan } else { done(&mut n.th[t]) }),
            _ => self.go("warm: WARMING(me) -> FREE", NO, |n, t| { n.unit = Unit::Free; done(&mut n.th[t]) }),
        }
    }
    fn wait(&mut self) {
        let th = self.s.th[self.t].clone();
        let (g, w) = (th.g, self.s.w);
        let free = |n: &S, k: u8| k == NO || n.life[k as usize] == NO;
        let (tells, no_gen) = (self.is("told_without_a_word"), self.is("break_any_generation"));
        match th.pc {
            K1 => self.go("wait: K1 load keeper", self.s.keeper, |n, t| { n.th[t].k = n.keeper; n.th[t].pc = K2 }),
            K2 => self.go("wait: K2 load word", g, |n, t| if w.g == g && matches!(w.st, Pending | Filling) { n.th[t].pc = K3 } else { done(&mut n.th[t]) }),
            K3 => self.go("wait: K3 keeper's life free?", th.k, |n, t| if free(n, th.k) { n.th[t].pc = K4 } else { done(&mut n.th[t]) }),
            K4 => self.go("wait: K4 CAS PENDING -> BROKEN", g, |n, t| if (w.g == g || no_gen) && w.st == Pending { n.break_promise(); done(&mut n.th[t]) } else { n.th[t].pc = K5 }),
            K5 => self.go("wait: K5 load word: FILLING?", g, |n, t| if w.g == g && w.st == Filling { n.th[t].w = w; n.th[t].pc = K6 } else { done(&mut n.th[t]) }),
            K6 => self.go("wait: K6 its owner's life free?", th.w.own, |n, t| if free(n, th.w.own) { if tells { n.told[g as usize] = true; done(&mut n.th[t]) } else { n.th[t].pc = K7 } } else { done(&mut n.th[t]) }),
            _ => self.go("wait: K7 CAS DOOMED in: told", g, |n, t| { if w == th.w { n.w.doomed = true; n.told[g as usize] = true } done(&mut n.th[t]) }),
        }
    }
    fn elect(&mut self) {
        let th = self.s.th[self.t].clone();
        let e = th.e as usize;
        let (none, no_ask, early, store) = (self.is("no_election"), self.is("no_second_look"), self.is("life_before_word"), self.is("dying_by_store"));
        let sweep = if self.is("vacant_before_undo") { R4 } else { R1a };
        match th.pc {
            RLock => self.go("reap: lock election", th.e, |n, t| if n.elect[e] == NO || none { n.elect[e] = t as u8; n.th[t].pc = if early { RAsk } else { RRead } } else { done(&mut n.th[t]) }),
            RRead => self.go("reap: read w", th.e, |n, t| { n.th[t].seen = n.en[e]; n.th[t].pc = if n.en[e].pr == Pr::Vacant { RDrop } else if early || no_ask { RCas } else { RAsk } }),
            RAsk => self.go("reap: life still free?", th.e, |n, t| n.th[t].pc = if n.life[e] != NO { RDrop } else if early { RRead } else { RCas }),
            RCas => self.go("reap: CAS w -> DYING", th.e, |n, t| if n.en[e] == th.seen || store { n.en[e] = Entry { inc: th.seen.inc, pr: Pr::Dying }; n.th[t].act = th.e; n.th[t].back = R4; n.th[t].pc = sweep } else { n.th[t].pc = RDrop }),
            _ => self.go("reap: let the election go", th.e, |n, t| { if n.elect[e] == t as u8 { n.elect[e] = NO } done(&mut n.th[t]) }),
        }
    }
    fn sweep(&mut self) {
        let (th, w) = (self.s.th[self.t].clone(), self.s.w);
        let d = th.act;
        let direct = !self.is("told_without_a_word");
        match th.pc {
            R1a => self.go("reap: R1a load word, link, bucket", d, |n, t| { n.th[t].w = w; n.th[t].pc = if w.own == d && matches!(w.st, Ready | Retired) && n.link && n.cur != w.g { R1aEvict } else { R1b } }),
            R1aEvict => self.go("reap: R1a not current: CAS -> RETIRED", d, |n, t| { if w.g == th.w.g && w.st == Ready { n.w.st = Retired } n.th[t].pc = R1b }),
            R1b => { let skip = self.is("no_keeper_step"); self.go("reap: R1b CAS keeper d -> 0", d, |n, t| { if n.keeper == d && !skip { n.keeper = NO } n.th[t].pc = R1c }) }
            R1c => self.go("reap: R1c load word, block", d, |n, t| { n.th[t].w = w; n.th[t].cell = n.intent; n.th[t].pc = if w.own == d && matches!(w.st, Writing | Reclaiming | Filling) { R1cBlock } else { R1e } }),
            R1cBlock => self.go("reap: return the block", d, |n, t| { if th.cell { n.cell = false } n.th[t].pc = if th.w.st == Filling { R1dNone } else { R1cFree } }),
            R1cFree => self.go("reap: R1c CAS -> FREE + 1", d, |n, t| { if n.w == th.w { n.w = Word { g: w.g + 1, ..W0 } } n.th[t].pc = R1e }),
            R1dNone => self.go("reap: R1d block = none", d, |n, t| { n.intent = false; n.th[t].pc = R1dCas }),
            _ => self.go("reap: R1d CAS FILLING -> PENDING, or BROKEN if DOOMED", d, |n, t| { if w.own == d && w.st == Filling { if w.doomed && direct { n.break_promise() } else { n.w = Word { st: Pending, own: NO, ..w } } } n.th[t].pc = R1e }),
        }
    }
    fn sweep_on(&mut self) {
        let (th, w) = (self.s.th[self.t].clone(), self.s.w);
        let (d, e) = (th.act, th.act as usize);
        match th.pc {
            R1e => self.go("reap: R1e load word: PENDING?", d, |n, t| { n.th[t].w = w; n.th[t].pc = if w.st == Pending { R1eKeeper } else { R1f } }),
            R1eKeeper => self.go("reap: R1e no keeper: CAS -> BROKEN", d, |n, t| { if n.keeper == NO && w.st == Pending && w.g == th.w.g { n.break_promise() } n.th[t].pc = R1f }),
            R1f => { let skip = self.is("counts_stay"); self.go("reap: R1f count of d = 0", d, |n, t| { if !skip { n.cnt[e] = 0 } n.th[t].pc = R1g }) }
            R1g => self.go("reap: R1g RETIRED? try_reclaim", d, |n, t| if w.st == Retired { n.th[t].w = w; n.th[t].pc = TScan } else { n.th[t].pc = R3 }),
            R3 => { let skip = self.is("no_unit_step"); self.go("reap: R3 load unit", d, |n, t| if n.unit == Unit::Warming(d) && !skip { n.th[t].pc = R3Punch } else { n.th[t].pc = th.back }) }
            R3Punch => self.go("reap: R3 punch", d, |n, t| { if n.unit == Unit::Free { n.bad = 3 } n.th[t].pc = R3Cas }),
            R3Cas => self.go("reap: R3 CAS -> COLD", d, |n, t| { if n.unit == Unit::Warming(d) { n.unit = Unit::Cold } n.th[t].pc = th.back }),
            R4 => { let late = self.is("vacant_before_undo") && th.w == W0 && th.g == 0; self.go("reap: R4 VACANT", d, |n, t| { n.en[e] = Entry { inc: th.seen.inc, pr: Pr::Vacant }; n.th[t].back = R5; n.th[t].pc = if late { R1a } else { R5 } }) }
            _ => self.go("reap: unlock election", d, |n, t| { if n.elect[e] == t as u8 { n.elect[e] = NO } done(&mut n.th[t]) }),
        }
    }
    fn reclaim(&mut self) {
        let (th, w) = (self.s.th[self.t].clone(), self.s.w);
        let after = |th: &mut Th| if th.back == Idle { done(th) } else { th.pc = R3 };
        match th.pc {
            TScan => self.go("try_reclaim: C2 any count?", NO, |n, t| if n.cnt.iter().any(|c| *c > 0) { after(&mut n.th[t]) } else { n.th[t].pc = TCas }),
            TCas => self.go("try_reclaim: C4 CAS RETIRED -> RECLAIMING", NO, |n, t| if w == th.w { n.w.st = Reclaiming; n.w.own = th.act; n.th[t].cell = n.intent; n.th[t].pc = TBlock } else { after(&mut n.th[t]) }),
            TBlock => self.go("try_reclaim: C6 return the block", NO, |n, t| { if th.cell { n.cell = false } n.th[t].pc = TFree }),
            _ => self.go("try_reclaim: C7 word = FREE + 1", NO, |n, t| { n.w = Word { g: w.g + 1, ..W0 }; after(&mut n.th[t]) }),
        }
    }
}
impl M {
    fn claims(&self, s: &S, t: usize) -> Result<(), String> {
        let (th, w) = (&s.th[t], s.w);
        if th.pc == Crashed || th.my == NO { return Ok(()) }
        let e = th.my as usize;
        if s.life[e] != t as u8 || s.en[e].inc != th.inc || !matches!(s.en[e].pr, Pr::Active | Pr::Leaving) { return Err(format!("process {t} lives, and its entry is {:?}", s.en[e])) }
        let wrong = |what: &str| Err(format!("{what} of live process {t} was undone"));
        if matches!(th.pc, W1a | W2 | W3 | W4 | S3 | N2 | N3) && w != (Word { g: th.g, st: Writing, own: th.my, doomed: false }) { return wrong("WRITING") }
        if matches!(th.pc, F2 | F2b | F3) && (w.g != th.g || w.st != Filling || w.own != th.my) { return wrong("FILLING") }
        if th.pc == TFree && th.back == Idle && (w.st != Reclaiming || w.own != th.my) { return wrong("RECLAIMING") }
        if matches!(th.pc, W4 | F3 | S3) && (!s.cell || !s.intent) { return wrong("the block") }
        if th.pc == U2 && s.unit != Unit::Warming(th.my) { return wrong("WARMING") }
        if (th.held != 0 || th.pc == S4 || th.pc == S6) && s.cnt[e] == 0 { return wrong("a pin") }
        if th.held != 0 && (w.g != th.held - 1 || !matches!(w.st, Ready | Retired) || !s.cell) { return wrong("a view's object") }
        if s.kept_by == t as u8 && th.act != th.my && w.st == Pending && s.keeper != th.my { return wrong("a promise") }
        Ok(())
    }
    fn nothing_leaked(&self, s: &S) -> Result<(), String> {
        let w = s.w;
        match w.st {
            Writing | Filling | Reclaiming => return Err(format!("quiescent: {w:?} leaked")),
            Pending if s.keeper == NO || s.life[s.keeper as usize] == NO => return Err("quiescent: PENDING without a living keeper".into()),
            Retired if s.th.iter().all(|t| t.held == 0) => return Err("quiescent: RETIRED, unpinned".into()),
            Ready if s.link && w.own != NO && s.cur != w.g => return Err("quiescent: a version that nobody binds leaked".into()),
            _ => {}
        }
        if s.cell != matches!(w.st, Ready | Retired) && !(s.cell && w.st == Broken) { return Err("quiescent: the cell and the word differ".into()) }
        if matches!(s.unit, Unit::Warming(_)) { return Err("quiescent: a unit leaked".into()) }
        Ok(())
    }
}
impl Model for M {
    type S = S;
    fn procs(&self) -> u8 { NT as u8 }
    fn busy(&self, s: &S, p: u8) -> bool { !matches!(s.th[p as usize].pc, Idle | Crashed) }
    fn init(&self) -> Vec<S> {
        let mut s = S { w: W0, keeper: NO, intent: false, cell: false, link: false, cur: NO, cnt: [0; NE], unit: Unit::Cold, en: [EN0; NE], life: [NO; NE], elect: [NO; NE],
            th: [nobody(), nobody(), nobody(), nobody()], crashes: 0, closes: 0, kept_by: NO, told: [false; NG], valued: [false; NG], bad: 0 };
        for t in 0..NT {
            if self.role[t].is_empty() { s.th[t].pc = Crashed }
            let e = self.at[t];
            if e != NO { s.th[t].my = e; s.th[t].inc = 1; s.en[e as usize] = Entry { inc: 1, pr: Pr::Active }; s.life[e as usize] = t as u8 }
        }
        vec![s]
    }
    fn next(&self, s: &S, out: &mut Vec<Step<S>>) {
        for t in 0..NT {
            At { m: self, s, t, out }.step();
            if self.is("election_on_a_descriptor") && s.closes == 0 && s.alive(t) && s.elect.contains(&(t as u8)) { At { m: self, s, t, out }.close() }
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
        s.th.iter().all(|t| matches!(t.pc, Idle | Crashed)) && (!reaper || (0..NE).all(|e| s.en[e].pr == Pr::Vacant || s.life[e] != NO))
    }
    fn invariant(&self, s: &S) -> Result<(), String> {
        match s.bad { 1 => return Err("a live keeper's promise was broken".into()), 2 => return Err("a cell claimed twice".into()), 3 => return Err("a warm unit was punched".into()), _ => {} }
        for t in 0..NT { self.claims(s, t)? }
        for g in 0..NG { if s.told[g] && s.valued[g] { return Err("a waiter was told that it broke, and the value came".into()) } }
        for e in 0..NE { if s.en[e].pr == Pr::Vacant {
            let tagged = s.w.own == e as u8 && !matches!(s.w.st, Ready | Retired);
            if tagged || s.keeper == e as u8 || s.cnt[e] != 0 || s.unit == Unit::Warming(e as u8) { return Err(format!("entry {e} is VACANT and something carries its tag")) } } }
        if s.w.st == Ready && !s.cell { return Err("READY without its block".into()) }
        let reaped = (0..NE).all(|e| s.en[e].pr == Pr::Vacant || s.life[e] != NO);
        if self.quiescent(s) && reaped { self.nothing_leaked(s)? }
        Ok(())
    }
}

fn main() {
    let base = |role, at, crashes| M { role, at, entries: 3, crashes, mutant: "" };
    let one = |role| M { entries: 1, ..base(role, [0, NO, NO, NO], 2) }; // all for one id; reapers need none of their own
    let o = || Opts { solo: 60, ..Opts::default() };
    let mut ok = true;
    let objects = || one(["pvelux", "jpvelux", "r", "r"]);
    let promises = || one(["nsl", "jnsl", "r", "r"]);
    let names = || one(["bl", "jbl", "r", ""]);
    let waits = || base(["nse", "w", "nser", ""], [0, 1, 2, NO], 1);
    let two_dead = || base(["n", "s", "wr", "jsr"], [0, 1, 2, NO], 2);
    ok &= run("M8 put, pin, evict, warm by two holders of one id", &objects(), o());
    ok &= run("M8 reserve, set by two holders of one id", &promises(), o());
    ok &= run("M8 bind by two holders of one id", &names(), o());
    ok &= run("M8 a waiter breaks what a dead one kept", &waits(), o());
    ok &= run("M8 keeper and writer die, waiter, who joins may write", &two_dead(), o());
    if std::env::args().any(|a| a == "big") {
        ok &= run("M8 everything by two holders, two reapers, 3 crashes", &M { crashes: 3, ..one(["pbnsvelux", "jpbnsvelux", "jr", "r"]) }, o());
        ok &= run("M8 four do everything with promises", &base(["nsewr", "nsewr", "nsewr", "jnsewr"], [0, 1, 2, NO], 2), Opts { max: 100_000_000, live: false, solo: 0 });
    }
    for mu in ["vacant_before_undo", "no_election", "life_before_word", "dying_by_store", "unlock_before_vacant", "active_before_lock", "counts_stay", "no_unit_step", "election_on_a_descriptor"] {
        ok &= must_fail(&format!("M8 mutant {mu}"), &M { mutant: mu, ..objects() }, Opts::default());
    }
    for mu in ["no_keeper_step", "leave_without_undo"] { ok &= must_fail(&format!("M8 mutant {mu}"), &M { mutant: mu, ..promises() }, Opts::default()) }
    ok &= must_fail("M8 mutant break_any_generation", &M { mutant: "break_any_generation", ..waits() }, Opts::default());
    ok &= must_fail("M8 mutant told_without_a_word", &M { mutant: "told_without_a_word", ..two_dead() }, Opts::default());
    println!("M8 {}", if ok { "ALL AS EXPECTED" } else { "UNEXPECTED RESULTS" });
}

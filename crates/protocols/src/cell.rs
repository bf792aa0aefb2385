//! M4 and M7: a word naming the current version of something; set = publish a version, swap the word, evict the
//! predecessor. M4: a cell (blind set). M7: a name bucket (read-modify-write: the version holds the whole bucket).
//!
//! evict/unpin with the reclaim they cause are one step here: M1 shows they behave so.
use crate::*;

const NT: usize = 3;
pub const NV: usize = 4; // slots for versions
const NONE: u8 = 99; // no key; in `link`: no intent
const EMPTY: u8 = 98; // in `link`: an intent whose predecessor is the empty word
const LIVE: u8 = 0; const DEAD: u8 = 1; const GONE: u8 = 2;
fn key(slot: usize, gen: u8) -> u8 { slot as u8 * 8 + gen }
fn sl(k: u8) -> usize { k as usize / 8 }

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum St { Free, Writing, Ready, Retired }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Cell { Ready, Retired, Reclaiming(u8), Gone }
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Pc { Idle, Crashed, S0PinCell, S1Claim, S2Load, S2Pin, S3Link, S3Pin, S3Publish, S4Swap, S4Undo, S4Load, S4Link, S5Evict, S5aEmpty, S5bEvict, S6Clear, S7Unpin, S8Cell, X2, X3,
    RdLoad, RdPin, RpIntent, RpLoad, RpEmpty, RpOld, RpNew, RpClear, RpCell, RpSlotRow, RpRow, RpSweep, RpEnd }
use Pc::*;
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Slot { gen: u8, st: St, own: u8, link: u8, val: u8 }
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Th { pc: Pc, op: u8, n: u8, old: u8, val: u8, pin_n: u8, pin_r: u8, pin_c: bool, left: u8, dead: u8, i: u8, x: u8 }
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct S { slot: [Slot; NV], cur: u8, cell: Cell, truth: u8, entry: [u8; NT], lock: [u8; NT], th: [Th; NT], crashes: u8, bad: u8 }

pub struct M { pub role: [&'static str; NT], pub quota: [u8; NT], pub rmw: bool, pub gmax: u8, pub crashes: u8, pub one_pass: bool, pub mutant: &'static str }
fn idle() -> Th { Th { pc: Idle, op: 0, n: NONE, old: NONE, val: 0, pin_n: NONE, pin_r: NONE, pin_c: false, left: 0, dead: NONE, i: 0, x: NONE } }
fn keep(t: &Th) -> Th { Th { pin_n: t.pin_n, pin_r: t.pin_r, pin_c: t.pin_c, left: t.left, ..idle() } }
fn pinned(s: &S, k: u8) -> bool { s.th.iter().any(|t| t.pin_n == k || t.pin_r == k) }
fn reclaim(s: &mut S, i: usize) { let x = s.slot[i]; if x.st == St::Retired && !pinned(s, key(i, x.gen)) { s.slot[i] = Slot { gen: x.gen + 1, st: St::Free, own: NONE, link: x.link, val: 0 } } } // link stays: stale until overwritten
fn evict(s: &mut S, k: u8) { if k == NONE { return } let i = sl(k); if s.slot[i].st == St::Ready && key(i, s.slot[i].gen) == k { s.slot[i].st = St::Retired; reclaim(s, i) } }
fn ready(s: &S, k: u8) -> bool { k != NONE && s.slot[sl(k)].st == St::Ready && key(sl(k), s.slot[sl(k)].gen) == k }
impl M {
    fn is(&self, x: &str) -> bool { self.mutant == x }
    fn intent(&self, old: u8) -> u8 { if old == NONE && !self.is("empty_is_no_intent") { EMPTY } else { old } }
    fn slot_done(&self, t: &mut Th) { if self.one_pass { t.pc = RpSlotRow } else { t.i += 1; t.pc = RpIntent } }
    fn cell_free(&self, s: &S) -> bool { s.cell == Cell::Retired && s.th.iter().all(|t| !t.pin_c) }
}
impl Model for M {
    type S = S;
    fn procs(&self) -> u8 { NT as u8 }
    fn busy(&self, s: &S, p: u8) -> bool { !matches!(s.th[p as usize].pc, Idle | Crashed) }
    fn init(&self) -> Vec<S> {
        let mut th = [idle(), idle(), idle()];
        for t in 0..NT { th[t].left = self.quota[t] }
        vec![S { slot: [Slot { gen: 0, st: St::Free, own: NONE, link: NONE, val: 0 }; NV], cur: NONE, cell: Cell::Ready, truth: 0, entry: [LIVE; NT], lock: [NONE; NT], th, crashes: 0, bad: 0 }]
    }
    fn next(&self, s: &S, out: &mut Vec<Step<S>>) {
        for t in 0..NT {
            if s.entry[t] != LIVE { continue }
            let me = t as u8;
            let mut go = |what: &'static str, arg: i32, f: &dyn Fn(&mut S)| { let mut n = s.clone(); f(&mut n); out.push(Step { who: me, what, arg, crash: false, to: n }); };
            let th = &s.th[t];
            let i = sl(th.n.min(8 * NV as u8 - 1));
            let fin = |n: &mut S| { n.th[t] = keep(&n.th[t]) };
            match th.pc {
                Crashed => {}
                Idle => {
                    let can = |c: char| self.role[t].contains(c);
                    if can('s') && th.left > 0 && s.cell == Cell::Ready { for op in 0..if self.rmw { 3 } else { 1 } { // bind a, bind b, unbind a
                        go("set", op as i32, &|n| { n.th[t].left -= 1; n.th[t].op = op; n.th[t].pc = S0PinCell }); } }
                    if can('g') && th.pin_r == NONE { go("read", -1, &|n| n.th[t].pc = RdLoad); }
                    if th.pin_r != NONE { go("drop view", -1, &|n| { let k = th.pin_r; n.th[t].pin_r = NONE; reclaim(n, sl(k)) }); }
                    if can('x') && s.cell == Cell::Ready { go("remove the cell: READY->RETIRED", -1, &|n| { n.cell = Cell::Retired; n.th[t].pc = S8Cell }); }
                    for d in 0..NT { if s.entry[d] == DEAD && s.lock[d] == NONE { go("reap: lock of dead", d as i32, &|n| { n.lock[d] = me; n.th[t].dead = d as u8; n.th[t].i = 0; n.th[t].pc = if self.is("row_before_intents") { RpRow } else if self.one_pass { RpCell } else { RpIntent } }); } }
                }
                // ---- set
                S0PinCell => go("S0 pin the cell", -1, &|n| if n.cell == Cell::Ready { n.th[t].pin_c = true; n.th[t].pc = S1Claim } else { fin(n) }),
                S1Claim => match (0..NV).find(|&k| s.slot[k].st == St::Free && s.slot[k].gen < self.gmax) {
                    Some(k) => go("S1 slot FREE->WRITING(me)", k as i32, &|n| { n.slot[k].st = St::Writing; n.slot[k].own = me; n.th[t].n = key(k, n.slot[k].gen); n.th[t].pc = S2Load }),
                    None => go("S1 no slot", -1, &|n| n.th[t].pc = S8Cell),
                },
                S2Load => go("S2 load cell word", s.cur as i32, &|n| { n.th[t].old = n.cur; n.th[t].val = 1; n.th[t].pc = if self.rmw { S2Pin } else { S3Link } }),
                S2Pin => go("S2 pin the predecessor, read it", -1, &|n| { if th.old == NONE { n.th[t].val = self.f(th.op, 0); n.th[t].pc = S3Link }
                    else if ready(n, th.old) { n.th[t].pin_r = th.old; n.th[t].val = self.f(th.op, n.slot[sl(th.old)].val); n.th[t].pc = S3Link } else { n.th[t].pc = S2Load } }),
                S3Link => go("S3 slot.link = predecessor, payload", i as i32, &|n| { n.slot[i].link = self.intent(th.old); n.slot[i].val = th.val; n.th[t].pc = if self.is("new_version_not_pinned") { S3Publish } else { S3Pin } }),
                S3Pin => go("S3 pin the new version", -1, &|n| { n.th[t].pin_n = th.n; n.th[t].pc = S3Publish }),
                S3Publish => go("S3 word = READY(g, me)", i as i32, &|n| { n.slot[i].st = St::Ready; n.th[t].pc = S4Swap }),
                S4Swap => go("S4 CAS cell word predecessor->new", (s.cur == th.old) as i32, &|n| if n.cur == th.old { if self.rmw && th.val != self.f(th.op, n.truth) { n.bad = 1 } n.truth = th.val; n.cur = th.n; n.th[t].pc = S5Evict }
                    else { n.th[t].pc = if self.rmw { S4Undo } else { S4Load } }),
                S4Undo => go("S4' replaced meanwhile: evict mine, start over", -1, &|n| { let k = th.n; let r = th.pin_r; n.th[t].pin_n = NONE; n.th[t].pin_r = NONE; evict(n, k); if r != NONE { reclaim(n, sl(r)) } n.th[t].n = NONE; n.th[t].old = NONE; n.th[t].pc = S1Claim }),
                S4Load => go("S4' replaced meanwhile: load cell word", s.cur as i32, &|n| { n.th[t].old = n.cur; n.th[t].pc = S4Link }),
                S4Link => go("S4'' slot.link = predecessor", -1, &|n| { if !self.is("stale_link_on_retry") { n.slot[i].link = self.intent(th.old) } n.th[t].pc = S4Swap }),
                S5Evict => go("S5 evict the predecessor", th.old as i32, &|n| { evict(n, th.old); n.th[t].pc = if self.is("new_version_not_pinned") { S7Unpin }
                    else if self.rmw && th.val == 0 { if self.is("evict_before_empty") { S5bEvict } else { S5aEmpty } } else { S6Clear } }),
                // a bucket without names: back to the empty word, so that it holds no slot
                S5aEmpty => go("S5a CAS cell word new->EMPTY", (s.cur == th.n) as i32, &|n| if n.cur == th.n { n.cur = NONE;
                    n.th[t].pc = if self.is("evict_before_empty") || self.is("empty_not_evicted") { S6Clear } else { S5bEvict } } else { n.th[t].pc = S6Clear }),
                S5bEvict => go("S5b evict the empty version", th.n as i32, &|n| { evict(n, th.n); n.th[t].pc = if self.is("evict_before_empty") { S5aEmpty } else { S6Clear } }),
                S6Clear => go("S6 slot.link = none", -1, &|n| { n.slot[i].link = NONE; n.th[t].pc = S7Unpin }),
                S7Unpin => go("S7 unpin new version and predecessor", -1, &|n| { let (a, b) = (th.pin_n, th.pin_r); n.th[t].pin_n = NONE; n.th[t].pin_r = NONE; if a != NONE { reclaim(n, sl(a)) } if b != NONE { reclaim(n, sl(b)) } n.th[t].pc = S8Cell }),
                S8Cell => go("S8 unpin the cell; last and RETIRED: RECLAIMING(me)", -1, &|n| { n.th[t].pin_c = false; if self.cell_free(n) { n.cell = Cell::Reclaiming(me); n.th[t].pc = X2 } else if th.dead != NONE { n.th[t].pc = RpEnd } else { fin(n) } }),
                X2 => go("X2 evict the last version", -1, &|n| { let k = n.cur; if !self.is("cell_forgets_last") { evict(n, k) } n.th[t].pc = X3 }),
                X3 => go("X3 cell slot FREE(g+1)", -1, &|n| { n.cell = Cell::Gone; if th.dead != NONE { n.th[t].pc = if self.one_pass { RpIntent } else { RpEnd } } else { fin(n) } }),
                // ---- read
                RdLoad => go("G1 load cell word", s.cur as i32, &|n| { n.th[t].old = n.cur; if n.cur == NONE || n.cell != Cell::Ready { fin(n) } else { n.th[t].pc = RdPin } }),
                RdPin => go("G2 pin what it names, or again", ready(s, th.old) as i32, &|n| if ready(n, th.old) { n.th[t].pin_r = th.old; fin(n) } else { n.th[t].old = NONE; n.th[t].pc = RdLoad }),
                // ---- reap
                RpIntent => if th.i as usize == NV { go("reap: intents done", -1, &|n| { n.th[t].i = 0; n.th[t].pc = if self.one_pass { RpEnd } else if self.is("row_before_intents") { RpSweep } else { RpRow } }) } else {
                    let k = th.i as usize;
                    go("reap: load slot word", k as i32, &|n| { let x = n.slot[k]; n.th[t].n = key(k, x.gen); n.th[t].old = if x.link == EMPTY { NONE } else { x.link };
                        if x.own == th.dead && x.st == St::Writing { n.slot[k] = Slot { gen: x.gen + 1, st: St::Free, own: NONE, ..x }; self.slot_done(&mut n.th[t]) }
                        else if x.own == th.dead && matches!(x.st, St::Ready | St::Retired) && x.link != NONE { n.th[t].pc = RpLoad } else { self.slot_done(&mut n.th[t]) } }) },
                RpLoad => go("reap: load cell word", s.cur as i32, &|n| { n.th[t].x = n.cur; n.th[t].pc = if self.rmw && n.cur == th.n && n.slot[i].val == 0 && !self.is("reap_keeps_empty") { RpEmpty } else { RpOld } }),
                RpEmpty => go("reap: S5a CAS cell word new->EMPTY", (s.cur == th.n) as i32, &|n| { if n.cur == th.n { n.cur = NONE; n.th[t].x = NONE } n.th[t].pc = RpOld }),
                RpOld => go("reap: evict predecessor unless current", th.old as i32, &|n| { if th.x != th.old || self.is("reap_evicts_old_always") { evict(n, th.old) } n.th[t].pc = RpNew }),
                RpNew => go("reap: evict new version unless current", th.n as i32, &|n| { if th.x != th.n && !self.is("reap_keeps_new") { evict(n, th.n) }
                    if self.is("reap_clears_link") { n.th[t].pc = RpClear } else { self.slot_done(&mut n.th[t]) } }),
                // (a reaper must leave the link alone: the slot may already be another setter's)
                RpClear => go("reap: CAS link predecessor->none (mutant)", -1, &|n| { if n.slot[i].link == self.intent(th.old) { n.slot[i].link = NONE } self.slot_done(&mut n.th[t]) }),
                RpSlotRow => go("reap: row[dead][slot] = 0; try_reclaim", th.i as i32, &|n| { let k = th.i as usize; let x = &mut n.th[th.dead as usize];
                    if x.pin_n != NONE && sl(x.pin_n) == k { x.pin_n = NONE } if x.pin_r != NONE && sl(x.pin_r) == k { x.pin_r = NONE }
                    reclaim(n, k); n.th[t].i += 1; n.th[t].pc = RpIntent }),
                RpCell => go("reap: row[dead][cell] = 0; try_reclaim or redo the cell", -1, &|n| { n.th[th.dead as usize].pin_c = false;
                    if self.cell_free(n) || n.cell == Cell::Reclaiming(th.dead) { n.cell = Cell::Reclaiming(me); n.th[t].pc = X2 } else { n.th[t].pc = RpIntent } }),
                RpRow => go("reap: row = 0", -1, &|n| { let x = &mut n.th[th.dead as usize]; x.pin_n = NONE; x.pin_r = NONE; x.pin_c = false; n.th[t].i = 0; n.th[t].pc = if self.is("row_before_intents") { RpIntent } else { RpSweep } }),
                RpSweep => if th.i as usize == NV {
                    go("reap: cell left RETIRED or half reclaimed?", -1, &|n| { n.th[t].i = 0; if self.cell_free(n) || n.cell == Cell::Reclaiming(th.dead) { n.cell = Cell::Reclaiming(me); n.th[t].pc = X2 } else { n.th[t].pc = RpEnd } })
                } else { go("reap: try_reclaim", th.i as i32, &|n| { reclaim(n, th.i as usize); n.th[t].i += 1 }) },
                RpEnd => go("reap: entry free", th.dead as i32, &|n| { let d = th.dead as usize; n.entry[d] = GONE; n.lock[d] = NONE; n.th[d] = Th { pc: Crashed, ..idle() }; fin(n) }),
            }
        }
        for p in 0..NT {
            if s.entry[p] != LIVE || s.crashes >= self.crashes { continue }
            let mut n = s.clone();
            n.entry[p] = DEAD; n.crashes += 1;
            n.th[p] = Th { pc: Crashed, left: 0, ..keep(&n.th[p]) };
            for d in 0..NT { if n.lock[d] == p as u8 { n.lock[d] = NONE } }
            out.push(Step { who: p as u8, what: "CRASH", arg: -1, crash: true, to: n });
        }
    }
    fn quiescent(&self, s: &S) -> bool { s.th.iter().all(|t| matches!(t.pc, Idle | Crashed)) && s.entry.iter().all(|e| *e != DEAD) }
    fn invariant(&self, s: &S) -> Result<(), String> {
        if s.bad == 1 { return Err("lost update: a bucket was replaced by one built from an older bucket".into()) }
        if !matches!(s.cell, Cell::Reclaiming(_) | Cell::Gone) && s.cur != NONE {
            if !ready(s, s.cur) { return Err("the cell names a version that is not READY".into()) }
            if s.slot[sl(s.cur)].val != s.truth { return Err("current version has the wrong value".into()) }
        }
        for t in 0..NT { let k = s.th[t].pin_r; if s.entry[t] == LIVE && k != NONE && (key(sl(k), s.slot[sl(k)].gen) != k || !matches!(s.slot[sl(k)].st, St::Ready | St::Retired)) { return Err("a reader holds a reclaimed version".into()) } }
        if self.quiescent(s) {
            if !matches!(s.cell, Cell::Ready | Cell::Gone) { return Err(format!("quiescent: cell stuck in {:?}", s.cell)) }
            for i in 0..NV { let x = s.slot[i]; let k = key(i, x.gen); match x.st {
                St::Free => {}
                St::Ready if s.cell == Cell::Ready && k == s.cur && self.rmw && x.val == 0 && !self.is("new_version_not_pinned") => return Err("quiescent: a bucket without names holds a slot".into()),
                St::Ready if s.cell == Cell::Ready && k == s.cur => {}
                St::Retired if pinned(s, k) => {}
                _ => return Err(format!("quiescent: version slot {i} leaked in {:?}", x.st)) } }
        }
        Ok(())
    }
}
impl M { fn f(&self, op: u8, v: u8) -> u8 { if !self.rmw { return 1 } match op { 0 => v | 1, 1 => v | 2, _ => v & !1 } } }

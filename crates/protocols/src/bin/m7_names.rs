//! M7: names as copy-on-write buckets: a fixed array of words, each naming one immutable object that holds every
//! (string, key) of its bucket. bind/unbind = M4's set with a value made from the pinned predecessor; lookup = M4's
//! read; the last unbind makes the word empty again. Two names in one bucket here; a bind races an unbind and another bind. The protocol is in src/cell.rs.
use mc::{cell::M, *};
fn main() {
    let o = || Opts { solo: 60, ..Opts::default() };
    let base = |role, quota, gmax, crashes| M { role, quota, rmw: true, gmax, crashes, one_pass: true, mutant: "" };
    let mut ok = true;
    ok &= run("M7 2 binders (1 op each), looker-up, 2 crashes", &base(["s", "s", "g"], [1, 1, 0], 3, 2), o());
    ok &= run("M7 2 binders (2+1 ops), looker-up, 1 crash", &base(["s", "s", "g"], [2, 1, 0], 3, 1), o());
    for mu in ["empty_is_no_intent", "new_version_not_pinned", "row_before_intents", "reap_evicts_old_always", "reap_keeps_new", "evict_before_empty", "empty_not_evicted", "reap_keeps_empty"] {
        ok &= must_fail(&format!("M7 mutant {mu}"), &M { mutant: mu, one_pass: mu != "row_before_intents", ..base(["s", "s", "g"], [2, 1, 0], 3, 2) }, Opts::default());
    }
    println!("M7 {}", if ok { "ALL AS EXPECTED" } else { "UNEXPECTED RESULTS" });
}

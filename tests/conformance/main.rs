//! What every connector promises, told once and held by each of them: shared memory, a dictionary, a directory, Redis,
//! several as one, and one of a program's own.

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "redis")]
#[path = "../support/redis_server.rs"]
mod redis_server;

mod bytes;
mod capabilities;
mod cells;
mod leases;
mod outcomes;
mod owners;
mod processes;
mod promises;
mod subject;
mod threads;

use subject::Subject;

/// Runs a check over a connector; where there is none on this machine, that was said.
fn run(subject: fn() -> Option<Subject>, check: fn(&Subject)) {
    let _alone = support::alone();
    support::watch();
    if let Some(subject) = subject() {
        check(&subject);
    }
}

macro_rules! over {
    ($($connector:ident $(if $feature:literal)?),* : $checks:tt) => {
        $($(#[cfg(feature = $feature)])? over!(one $connector $checks);)*
    };
    (one $connector:ident { $($module:ident { $($check:ident)* })* }) => {
        mod $connector {
            $($(
                #[test]
                fn $check() {
                    crate::run(crate::subject::$connector, crate::$module::$check);
                }
            )*)*
        }
    };
}

over! {
    shm, local, file, redis if "redis", multi, multi_of_others, custom: {
        bytes {
            bytes_of_every_size_come_back
            a_wrong_guess_of_the_size_does_no_harm
            every_put_makes_another_object
            a_batch_keeps_its_order
            a_batch_that_fails_leaves_nothing
            keys_of_nothing_are_none_and_keys_of_others_an_error
            an_evicted_object_is_gone_for_every_instance
            a_taken_object_is_gone_and_its_bytes_stay
            blocks_outlive_evict_close_and_connector
            a_closed_connector_is_an_error_and_closes_again
            a_configuration_survives_text_and_bytes_and_leads_to_the_same_objects
            a_value_is_not_read_as_another_type
        }
        threads {
            connectors_are_shared_between_threads
            of_many_threads_one_evicts_and_one_takes
            threads_that_do_everything_at_once_see_whole_objects
        }
        promises {
            a_promise_is_kept_once_and_wakes_who_waits
            a_failed_or_evicted_promise_is_an_error_for_everyone
            a_promise_that_is_set_and_evicted_at_once_is_gone
            a_dead_promiser_is_an_error_for_who_waits
            of_many_who_wait_for_a_value_to_take_it_one_gets_it
            a_loan_is_an_object_when_it_is_published
        }
        capabilities {
            a_connector_has_what_its_documentation_says_alone_and_as_a_member
        }
        outcomes {
            a_promise_that_failed_says_why_and_a_cancelled_one_that_it_was
            whoever_watches_is_woken_when_there_is_something_to_hear
            whoever_watches_a_variable_is_woken_when_it_changes_or_ends
            a_watch_that_is_dropped_or_late_calls_as_it_should
            of_several_who_adopt_a_promise_one_keeps_it
        }
        leases {
            a_lease_ends_on_time_for_every_instance
            a_lease_that_is_extended_or_taken_away_ends_then_or_never
            what_is_over_can_not_be_extended
            a_lease_holds_and_ends_when_its_creator_is_dead
        }
        owners {
            an_object_that_is_bound_goes_with_its_process_and_no_other_does
            an_object_has_one_owner
            an_owner_hands_over_to_one_of_many
            what_was_handed_over_ends_with_its_new_owner
        }
        cells {
            a_variable_holds_what_was_set_last
            a_set_that_expects_another_version_is_a_conflict
            a_variable_of_a_process_is_handed_over_and_goes_with_its_owner
            of_many_threads_that_count_none_is_lost
            whoever_waits_hears_of_a_change_and_of_an_evict
            a_name_leads_everybody_to_the_same_variable
            another_process_sets_and_is_heard
        }
        processes {
            another_process_gets_what_was_put_here_and_puts_what_is_got_here
            of_many_processes_one_evicts_and_one_takes
            a_proxy_resolves_in_a_process_that_never_saw_its_store
            of_many_processes_that_wait_for_a_value_to_take_it_one_gets_it
            a_killed_process_leaves_what_it_put_and_nothing_else
            a_forked_child_goes_on_with_its_parents_connector
            forks_in_the_midst_of_threads_disturb_nobody
        }
    }
}

/// Not a test by itself: what the other processes run.
#[test]
fn program() {
    if let Some((role, told)) = support::role() {
        subject::register_kinds();
        processes::play(&role, &told);
    }
}

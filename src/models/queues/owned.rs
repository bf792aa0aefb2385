//! What has an owner as a message: sent, received, adopted, by some who are killed.

use super::{SIZE, THREE, at, new, send_object, try_receive};
use crate::actor::Actor;
use crate::error::{Error, Result};
use crate::layout::slot::ObjectId;
use crate::models::owned::{own, own_empty, update_empty};
use crate::models::scene::{
    Deaths, Scene, explore, explore_deaths, explore_handing_over, mortal, put_empty, spawn,
};
use crate::models::variables::{number, read};
use crate::protocol::channel::{AtChannel, ChannelBell};
use crate::protocol::queue::Guess;
use crate::sync::unmodelled::AtomicU64;

/// Sends an object that is bound to the participant.
fn send_owned(actor: &Actor<'_>, queue: ObjectId, id: ObjectId) -> Result<()> {
    let sent = at(actor, queue, |queue| {
        let mut envelope = queue.own_envelope(0).expect("there is room");
        envelope.take_in(id)?;
        envelope.send(0, &[], &Guess::default())?;
        queue.ring(ChannelBell::Items);
        Ok(())
    });
    sent.expect("the queue is there")
}

/// Receives a message and adopts its object, if that is there; `None`: there is no message.
fn adopt(actor: &Actor<'_>, queue: ObjectId) -> Option<bool> {
    let adopted = at(actor, queue, |queue| {
        let taken = queue.receive(&AtomicU64::new(0)).expect("nothing is corrupt")?;
        match queue.take_out(&taken) {
            Ok(()) => Some(true),
            Err(Error::NotFound { .. }) => Some(false),
            Err(error) => panic!("{error}"),
        }
    });
    adopted.flatten()
}

#[test]
fn what_nobody_owns_stays_where_an_envelope_could_not_take_it() {
    explore("send what nobody owns | exists", 1, || {
        let scene = Scene::new(SIZE);
        let queue = new(&scene, 1);
        let id = put_empty(&scene.actor(0));
        let other = spawn(&scene, move |s| s.actor(1).exists(id));
        assert!(send_owned(&scene.actor(0), queue, id).is_err());
        assert!(other.join().unwrap() && scene.actor(0).exists(id));
        scene.assert_all_returns();
    });
}

#[test]
fn what_is_sent_with_its_owner_is_adopted_whole_by_who_receives_it() {
    explore_handing_over("send what is owned | adopt", 2, || {
        let scene = Scene::new(SIZE);
        let queue = new(&scene, 1);
        let id = own(&scene.actor(1), 7);
        let sender = spawn(&scene, move |s| send_owned(&s.actor(1), queue, id));
        let early = adopt(&scene.actor(0), queue);
        assert_ne!(early, Some(false));
        if early == Some(true) {
            assert_eq!(read(&scene.actor(0), id), Some((7, 1)));
            assert_eq!(update_empty(&scene.actor(0), id), Some(2));
        }
        sender.join().unwrap().expect("it was its own");
        assert_eq!(adopt(&scene.actor(0), queue), early.is_none().then_some(true));
        assert_eq!(update_empty(&scene.actor(1), id), None, "it is another's");
        assert!(scene.actor(0).evict_mine(id));
        scene.assert_all_returns();
    });
}

#[test]
fn what_is_sent_with_its_owner_goes_when_it_is_acknowledged() {
    explore("send what is owned | receive, acknowledge", 2, || {
        let scene = Scene::new(SIZE);
        let queue = new(&scene, 1);
        let id = own_empty(&scene.actor(1));
        let sender = spawn(&scene, move |s| send_owned(&s.actor(1), queue, id));
        let receive = || {
            at(&scene.actor(0), queue, |queue| {
                let taken = queue.receive(&AtomicU64::new(0)).expect("nothing is corrupt");
                taken.map(|taken| assert!(queue.acknowledge(&taken)))
            })
        };
        let early = receive().flatten();
        sender.join().unwrap().expect("it was its own");
        assert!(early.or_else(|| receive().flatten()).is_some());
        assert_eq!(number(&scene.actor(0), id), None);
        scene.assert_all_returns();
    });
}

#[test]
fn no_used_token_is_good_for_what_was_sent() {
    explore("adopt, with a used token | send what is owned", 2, || {
        let scene = Scene::new(THREE);
        let queue = new(&scene, 1);
        let id = own_empty(&scene.actor(0));
        let used = scene.actor(0).offer_bond(id).unwrap();
        scene.actor(0).adopt_bond(id, used).unwrap();
        let late = spawn(&scene, move |s| s.actor(1).adopt_bond(id, used));
        send_owned(&scene.actor(0), queue, id).expect("it is its own");
        assert!(matches!(late.join().unwrap(), Err(Error::AlreadyAdopted { .. })));
        assert_eq!(adopt(&scene.actor(2), queue), Some(true));
        scene.assert_all_returns();
    });
}

#[test]
fn nobody_binds_or_sets_what_was_sent() {
    explore("bind, set | send what is owned", 2, || {
        let scene = Scene::new(SIZE);
        let queue = new(&scene, 1);
        let id = own_empty(&scene.actor(0));
        let other = spawn(&scene, move |s| {
            let bound = s.actor(1).bind_to_me(id);
            assert!(matches!(bound, Err(Error::NotOwner { .. })), "{bound:?}");
            assert_eq!(update_empty(&s.actor(1), id), None);
        });
        send_owned(&scene.actor(0), queue, id).expect("it is its own");
        other.join().unwrap();
        assert_eq!(
            (number(&scene.actor(0), id), adopt(&scene.actor(0), queue)),
            (Some(1), Some(true))
        );
        scene.assert_all_returns();
    });
}

#[test]
fn what_is_evicted_by_its_key_is_no_message_or_one_whose_receiver_is_told() {
    explore("send what is owned, adopt | evict", 2, || {
        let scene = Scene::new(SIZE);
        let queue = new(&scene, 1);
        let id = own_empty(&scene.actor(0));
        let other = spawn(&scene, move |s| assert!(s.actor(1).evict(id)));
        let sent = send_owned(&scene.actor(0), queue, id);
        assert!(matches!(sent, Ok(()) | Err(Error::NotFound { .. })));
        let adopted = adopt(&scene.actor(0), queue);
        assert_eq!(adopted.is_some(), sent.is_ok());
        other.join().unwrap();
        assert_eq!(number(&scene.actor(0), id), None);
        scene.assert_all_returns();
    });
}

#[test]
fn of_a_send_and_an_evict_by_its_owner_one_has_it() {
    explore("send what is owned | evict mine", 2, || {
        let scene = Scene::new(SIZE);
        let queue = new(&scene, 1);
        let id = own_empty(&scene.actor(0));
        // Another thread of the owner.
        let other = spawn(&scene, move |s| s.actor(0).evict_mine(id));
        let sent = send_owned(&scene.actor(0), queue, id);
        assert_ne!(sent.is_ok(), other.join().unwrap());
        assert_eq!(adopt(&scene.actor(1), queue), sent.is_ok().then_some(true));
        scene.assert_all_returns();
    });
}

#[test]
fn killed_when_it_sends_what_it_owns_a_process_has_sent_it_or_it_goes() {
    explore_deaths("send what is owned | adopt", |changes, deaths| {
        let scene = Scene::new(SIZE);
        let queue = new(&scene, 1);
        let id = own_empty(&scene.actor(1));
        let died = Deaths::clone(deaths);
        let victim = spawn(&scene, move |scene| {
            mortal(scene, (1, changes), &died, |actor| {
                let _ = send_owned(actor, queue, id);
            });
        });
        let first = adopt(&scene.actor(0), queue);
        victim.join().unwrap();
        // Alive or not, it leaves.
        scene.assert_settled();
        let second = adopt(&scene.actor(0), queue);
        assert!(![first, second].contains(&Some(false)), "a message has its object");
        assert!(first.is_none() || second.is_none(), "it is received once");
        let is_mine = first.or(second).is_some();
        assert_eq!(number(&scene.actor(0), id).is_some(), is_mine);
        assert_eq!(update_empty(&scene.actor(0), id).is_some(), is_mine);
        assert!(send_object_and_receive(&scene, queue), "there is room again");
        scene.assert_all_returns();
    });
}

fn send_object_and_receive(scene: &Scene, queue: ObjectId) -> bool {
    send_object(&scene.actor(0), queue, 2);
    try_receive(&scene.actor(0), queue) == super::Found::Message(2, 1)
}

/// Killed when it adopts what `send` has sent, which returns its id.
fn killed_in_adopting(name: &str, send: fn(&Actor<'_>, ObjectId) -> Option<ObjectId>) {
    explore_deaths(name, move |changes, deaths| {
        let scene = Scene::new(SIZE);
        let queue = new(&scene, 1);
        let id = send(&scene.actor(0), queue);
        let died = Deaths::clone(deaths);
        let victim = spawn(&scene, move |scene| {
            mortal(scene, (1, changes), &died, |actor| {
                let _ = adopt(actor, queue);
            });
        });
        let first = adopt(&scene.actor(0), queue);
        victim.join().unwrap();
        scene.assert_settled();
        let second = adopt(&scene.actor(0), queue);
        assert!(![first, second].contains(&Some(false)), "a message has its object");
        assert!(first.is_none() || second.is_none(), "it is adopted once");
        let is_mine = first.or(second).is_some();
        if let Some(id) = id {
            assert_eq!(number(&scene.actor(0), id).is_some(), is_mine);
            assert_eq!(scene.actor(0).evict_mine(id), is_mine);
        }
        assert!(send_object_and_receive(&scene, queue), "there is room again");
        scene.assert_all_returns();
    });
}

#[test]
fn killed_when_it_adopts_a_receiver_leaves_a_message_or_nothing() {
    killed_in_adopting("adopt | adopt", |actor, queue| {
        let id = own_empty(actor);
        send_owned(actor, queue, id).expect("it is its own");
        Some(id)
    });
}

#[test]
fn killed_when_it_adopts_a_message_by_value_a_receiver_leaves_it_or_nothing() {
    killed_in_adopting("adopt what was sent by value | adopt", |actor, queue| {
        send_object(actor, queue, 1);
        None
    });
}

#[test]
fn killed_when_it_sends_what_it_does_not_own_a_process_takes_it_from_nobody() {
    explore_deaths("send what is another's", |changes, deaths| {
        let scene = Scene::new(SIZE);
        let queue = new(&scene, 1);
        let id = own_empty(&scene.actor(0));
        mortal(&scene, (1, changes), deaths, |actor| {
            let sent = send_owned(actor, queue, id);
            assert!(matches!(sent, Err(Error::NotOwner { .. })));
        });
        scene.assert_settled();
        assert_eq!(adopt(&scene.actor(0), queue), None);
        assert_eq!(update_empty(&scene.actor(0), id), Some(2));
        scene.assert_all_returns();
    });
}

//! Which connector has what, so that no check of it passes for want of a subject.

use inplace::connector::{Connector, ConnectorConfig};
use inplace::{Deadline, Error, Fingerprint, Term};
use std::time::Duration;

use crate::subject::Subject;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Has {
    promises: bool,
    /// Promises that change hands.
    offers: bool,
    loans: bool,
    leases: bool,
    /// Objects that go with a process.
    bonds: bool,
    variables: bool,
}

/// What the table of docs/design.md says.
fn expected(config: &ConnectorConfig) -> Has {
    let nothing = Has {
        promises: false,
        offers: false,
        loans: false,
        leases: false,
        bonds: false,
        variables: false,
    };
    match config {
        ConnectorConfig::Shm(_) | ConnectorConfig::Local(_) => Has {
            promises: true,
            offers: true,
            loans: true,
            leases: true,
            bonds: true,
            variables: true,
        },
        ConnectorConfig::File(_) => Has { promises: true, ..nothing },
        ConnectorConfig::Redis(_) => Has { leases: true, ..nothing },
        ConnectorConfig::Multi(multi) => {
            let members = multi.members.iter().map(|member| expected(&member.connector));
            members.fold(nothing, |all, one| Has {
                promises: all.promises || one.promises,
                offers: all.offers || one.offers,
                loans: all.loans || one.loans,
                leases: all.leases || one.leases,
                bonds: all.bonds || one.bonds,
                variables: all.variables || one.variables,
            })
        }
        _ => nothing,
    }
}

/// Whether something is done; what the connector says it can not do is no failure.
fn is_done<T>(outcome: inplace::Result<T>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(Error::Unsupported { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

fn found(connector: &dyn Connector) -> Has {
    let put = |term| {
        connector.lasting().is_some_and(|lasting| {
            is_done(lasting.put_for(0, (Fingerprint::BYTES, term), &mut |_| Ok(())))
        })
    };
    Has {
        promises: connector.deferrable().is_some_and(|promises| is_done(promises.reserve())),
        offers: connector.deferrable().is_some_and(|promises| {
            is_done(promises.reserve().and_then(|key| promises.offer(key)))
        }),
        loans: connector.loaning().is_some_and(|loans| is_done(loans.loan(1, Fingerprint::BYTES))),
        leases: put(Term::Until(Deadline::after(Duration::from_secs(600)))),
        bonds: put(Term::Process),
        variables: connector
            .variables()
            .is_some_and(|variables| is_done(variables.new_variable(Fingerprint::BYTES))),
    }
}

/// Whether promises of this connector wake who waits, instead of being looked at.
pub fn is_told_of_promises(config: &ConnectorConfig) -> bool {
    match config {
        ConnectorConfig::Multi(multi) => is_told_of_promises(&multi.members[0].connector),
        config => matches!(config, ConnectorConfig::Shm(_) | ConnectorConfig::Local(_)),
    }
}

pub fn a_connector_has_what_its_documentation_says_alone_and_as_a_member(subject: &Subject) {
    let expected = expected(&subject.config);
    assert_eq!(found(&*subject.connector), expected);
    if !matches!(subject.config, ConnectorConfig::Multi(_)) {
        let all = ConnectorConfig::multi([subject.config.clone()]).connect().unwrap();
        assert_eq!(found(&*all), expected, "as the only one of several");
        // Not opened yet, it is known by its kind.
        let all = ConnectorConfig::multi([subject.config.clone()]).connect().unwrap();
        let lasts = expected.leases || expected.bonds;
        assert_eq!(
            (all.deferrable().is_some(), all.loaning().is_some()),
            (expected.promises, expected.loans)
        );
        assert_eq!(
            (all.lasting().is_some(), all.variables().is_some()),
            (lasts, expected.variables)
        );
    }
}

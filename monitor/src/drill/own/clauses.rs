//! A technique for each clause of a policy.

use super::{
    Act, Actor, Arc, Book, Card, Clause, Cow, Destination, Draft, Drafter, Duration, DutyId,
    EnvironmentId, Holder, Own, PORT, Piece, Run, SocketAddr, To, message, token,
};
use crate::drill::technique::{list, quoted};
use crate::drill::techniques::{LATE, hours_now};
use crate::policy::Distinct;
use crate::policy::identity::Identity;

const MOMENT: Duration = Duration::from_secs(5);

/// All clauses, in the order of the kinds.
pub(super) fn all(book: &Arc<Book>, own: &mut Own) {
    separations(book, own);
    approvals(book, own);
    for identity in book.policy.identities() {
        if identity.is_canary() {
            canary(identity, own);
            continue;
        }
        environments(book, identity, own);
        workloads(book, identity, own);
        hours(book, identity, own);
    }
    second_factors(book, own);
}

/// Name, what, ATT&CK, OWASP, kind.
type Label<'a> = (
    String,
    String,
    &'static [&'static str],
    &'static str,
    &'static str,
);

fn add(own: &mut Own, label: Label<'_>, patience: Duration, draft: Drafter) {
    let (name, what, attack, owasp, expects) = label;
    let card = Card {
        name: Cow::Owned(name),
        what: Cow::Owned(what),
        attack,
        owasp,
        expects,
    };
    own.techniques.push(Box::new(Clause {
        card,
        patience,
        draft,
    }));
}

fn separations(book: &Arc<Book>, own: &mut Own) {
    for (number, separation) in book.policy.separations().iter().enumerate() {
        let clause = format!("separate-{}", number + 1);
        for (at, one) in separation.duties.iter().enumerate() {
            for other in separation.duties.iter().skip(at + 1) {
                let pair = [*one, *other];
                let names = pair.map(|duty| book.name(duty).to_owned());
                if pair.iter().any(|duty| book.witness(*duty).is_none()) {
                    own.undrilled
                        .push(format!("{clause}, {} and {}: {SOCKET}", names[0], names[1]));
                    continue;
                }
                let label = (
                    format!("{clause}-{}-{}", names[0], names[1]),
                    format!("one owner exercises {} and {}", names[0], names[1]),
                    &["T1078.004"][..],
                    "API5",
                    "separation",
                );
                let book = Arc::clone(book);
                add(
                    own,
                    label,
                    MOMENT,
                    Box::new(move |run| separate(&book, run, pair)),
                );
            }
        }
    }
}

const SOCKET: &str = "no operation of it goes over TCP (a unix socket has one place on this host)";

/// Two duties, on the same object where they have one: by one owner with two keys, or by two owners.
fn separate(book: &Book, run: &Run<'_>, duties: [DutyId; 2]) -> Option<Draft> {
    let mut draft = Draft::default();
    let owners = [run.name("owner"), run.name(run.either("owner", "other"))];
    for (number, (duty, owner)) in duties.into_iter().zip(&owners).enumerate() {
        let holder = Holder {
            owner,
            duties: &[book.name(duty)],
            ..Holder::default()
        };
        let who = book.subject(&mut draft, run, &format!("key{number}"), &holder);
        book.exercise(&mut draft, run, duty, &who)?;
    }
    Some(draft)
}

fn approvals(book: &Arc<Book>, own: &mut Own) {
    for (number, approval) in book.policy.approvals().iter().enumerate() {
        let clause = format!("approve-{}", number + 1);
        let (duty, by) = (approval.duty, approval.by);
        if book.witness(duty).is_none() || book.witness(by).is_none() {
            own.undrilled.push(format!("{clause}: {SOCKET}"));
            continue;
        }
        let name = book.name(duty).to_owned();
        let ids = (&["T1078.004"][..], "API6", "approval");
        let label = |clause: String, what: String| (clause, what, ids.0, ids.1, ids.2);
        let inner = Arc::clone(book);
        add(
            own,
            label(clause.clone(), format!("{name} without an approval")),
            LATE,
            Box::new(move |run| approved(&inner, run, number, false)),
        );
        let distinct = approval.distinct;
        let inner = Arc::clone(book);
        add(
            own,
            label(
                format!("{clause}-own"),
                format!(
                    "{name} approved by its own {}",
                    match distinct {
                        Distinct::Owner => "owner",
                        Distinct::Identity => "identity",
                    }
                ),
            ),
            LATE,
            Box::new(move |run| approved(&inner, run, number, true)),
        );
    }
}

/// A duty with the approval of another, or as an attack with none or its own. Duties and clause are copied for
/// the run: where a clause ties no objects, an approval of an earlier run would do for this one.
fn approved(book: &Book, run: &Run<'_>, number: usize, approves: bool) -> Option<Draft> {
    let clause = book.policy.approvals().get(number)?;
    let mut draft = Draft::default();
    let [duty, by] = [("duty", clause.duty), ("by", clause.by)].map(|(suffix, id)| {
        let name = run.name(suffix);
        let text = book.duties.get(book.name(id)).cloned().unwrap_or_default();
        draft.duties.push((name.clone(), text));
        name
    });
    let distinct = match clause.distinct {
        Distinct::Owner => "owner",
        Distinct::Identity => "identity",
    };
    draft.policy.push_str(&format!(
        "[[approve]]\nduty = {}\nby = {}\ndistinct = {}\nwithin = \"{}s\"\n\n",
        quoted(&duty),
        quoted(&by),
        quoted(distinct),
        clause.within.as_secs(),
    ));
    // Its own approval comes from its own identity, or from another key of its owner.
    let one_key = approves && !run.twin && clause.distinct == Distinct::Identity;
    let owner = run.name("owner");
    let both = [duty.as_str(), by.as_str()];
    let holder = Holder {
        owner: &owner,
        duties: if one_key { &both } else { &both[..1] },
        ..Holder::default()
    };
    let who = book.subject(&mut draft, run, "key", &holder);
    if one_key {
        who.ask(&mut draft, &book.witness(clause.by)?);
    } else if approves || run.twin {
        let other = run.name(run.either("owner", "approver"));
        let holder = Holder {
            owner: &other,
            duties: &both[1..],
            ..Holder::default()
        };
        let approver = book.subject(&mut draft, run, "second", &holder);
        approver.ask(&mut draft, &book.witness(clause.by)?);
    }
    who.ask(&mut draft, &book.witness(clause.duty)?);
    Some(draft)
}

fn canary(identity: &Identity, own: &mut Own) {
    let label = (
        format!("canary-{}", identity.name),
        format!("{}, which has no duties, is used", identity.name),
        &["T1552", "T1078"][..],
        "API2",
        "canary",
    );
    add(
        own,
        label,
        MOMENT,
        Box::new(|run| {
            let mut draft = Draft::default();
            let duty = draft.duty(run, "any", &["GET drill.example/**"]);
            let duties = [duty.as_str()];
            let holder = Holder {
                owner: "drill",
                duties: run.either(&[], &duties),
                ..Holder::default()
            };
            let token = draft.key(run, "trap", &holder);
            draft.ask(crate::drill::technique::bearer(
                "GET",
                "drill.example",
                "/",
                &token,
            ));
            Some(draft)
        }),
    );
}

/// What an identity may do that needs the least besides: a duty in an environment that it is for.
fn usual(book: &Book, identity: &Identity) -> Option<DutyId> {
    let fits = |duty: &&DutyId| {
        let Some(witness) = book.witness(**duty) else {
            return false;
        };
        let claimed = book.policy.environments().claimed(&witness.host);
        claimed.is_none_or(|there| identity.allows(there))
    };
    let mut fitting = identity.duties.iter().filter(fits);
    let simple = fitting.clone().find(|duty| !book.needs_approval(**duty));
    simple.or_else(|| fitting.next()).copied()
}

/// Its name, and what its scratch copies have: duties and environments.
struct Copied {
    duties: Vec<String>,
    environments: Vec<String>,
}

fn copied(book: &Book, identity: &Identity) -> Copied {
    let environment = |id: &EnvironmentId| Some(book.policy.environments().name(*id)?.to_string());
    let all = identity.environments.iter().flatten();
    Copied {
        duties: identity
            .duties
            .iter()
            .map(|duty| book.name(*duty).to_owned())
            .collect(),
        environments: all.filter_map(environment).collect(),
    }
}

/// A scratch copy of an identity does what it usually may, approvals before it.
fn usage(
    book: &Book,
    run: &Run<'_>,
    copied: &Copied,
    clause: (&[String], &str),
    act: impl FnOnce(&mut Draft, &str) -> Option<()>,
    duty: DutyId,
) -> Option<Draft> {
    let mut draft = Draft::default();
    let texts = |texts: &'_ [String]| texts.iter().map(String::clone).collect::<Vec<_>>();
    let (duties, environments) = (texts(&copied.duties), texts(&copied.environments));
    let duties: Vec<&str> = duties.iter().map(String::as_str).collect();
    let environments: Vec<&str> = environments.iter().map(String::as_str).collect();
    let owner = run.name("owner");
    let holder = Holder {
        owner: &owner,
        duties: &duties,
        environments: &environments,
        workloads: clause.0,
        more: clause.1,
    };
    let who = book.subject(&mut draft, run, "copy", &holder);
    book.approve(&mut draft, run, duty, super::DEPTH)?;
    act(&mut draft, &who.token)?;
    Some(draft)
}

fn environments(book: &Arc<Book>, identity: &Identity, own: &mut Own) {
    let Some(allowed) = &identity.environments else {
        return;
    };
    let clause = format!("environments-{}", identity.name);
    let Some(duty) = usual(book, identity) else {
        own.undrilled.push(format!(
            "{clause}: no duty of it has an operation over TCP in an environment that it is for"
        ));
        return;
    };
    let before = own.techniques.len();
    for (environment, destination) in &book.destinations {
        if allowed.contains(environment) {
            continue;
        }
        if let Destination::Address(ip) = destination
            && !own.addresses.contains(ip)
        {
            own.addresses.push(*ip);
        }
        let name = book
            .policy
            .environments()
            .name(*environment)
            .map_or("?", |name| name);
        let label = (
            format!("{clause}-{name}"),
            format!("{} is used in {name}", identity.name),
            &["T1078.004", "T1550.001"][..],
            "API9",
            "environment",
        );
        let (book, copied, destination) = (
            Arc::clone(book),
            copied(book, identity),
            destination.clone(),
        );
        add(
            own,
            label,
            MOMENT,
            Box::new(move |run| {
                let witness = book.witness(duty)?;
                usage(
                    &book,
                    run,
                    &copied,
                    (&[], ""),
                    |draft, token| {
                        let (host, to) = match (&destination, run.twin) {
                            (_, true) => (None, To::Server),
                            (Destination::Host(host), false) => (Some(host.as_str()), To::Server),
                            (Destination::Address(ip), false) => {
                                (None, To::At(SocketAddr::new(*ip, PORT)))
                            }
                        };
                        draft.acts.push(Act::Talk {
                            actor: run.apart("copy"),
                            to,
                            pieces: vec![Piece::new(message(&witness, host, token))],
                        });
                        Some(())
                    },
                    duty,
                )
            }),
        );
    }
    if own.techniques.len() == before {
        own.undrilled.push(format!(
            "{clause}: there is no other environment with a host or address that a request can be sent to"
        ));
    }
}

fn workloads(book: &Arc<Book>, identity: &Identity, own: &mut Own) {
    if identity.workloads.is_none() {
        return;
    }
    let clause = format!("workloads-{}", identity.name);
    let Some(duty) = usual(book, identity) else {
        own.undrilled.push(format!("{clause}: {SOCKET}"));
        return;
    };
    let label = (
        clause,
        format!(
            "{} is used by a workload that it is not bound to",
            identity.name
        ),
        &["T1528", "T1550.001"][..],
        "API2",
        "workload",
    );
    let (book, copied) = (Arc::clone(book), copied(book, identity));
    add(
        own,
        label,
        MOMENT,
        Box::new(move |run| {
            let witness = book.witness(duty)?;
            let bound = [run.program("agent")];
            usage(
                &book,
                run,
                &copied,
                (&bound, ""),
                |draft, token| {
                    let actor = Actor {
                        program: run.either("thief", "agent"),
                        ..run.apart("copy")
                    };
                    draft.ask_as(actor, message(&witness, None, token));
                    Some(())
                },
                duty,
            )
        }),
    );
}

fn hours(book: &Arc<Book>, identity: &Identity, own: &mut Own) {
    let Some(hours) = &identity.hours else {
        return;
    };
    let clause = format!("hours-{}", identity.name);
    let Some(duty) = usual(book, identity) else {
        own.undrilled.push(format!("{clause}: {SOCKET}"));
        return;
    };
    let label = (
        clause,
        format!("{} is used outside its hours", identity.name),
        &["T1078.004"][..],
        "API2",
        "hours",
    );
    let (book, copied, hours) = (Arc::clone(book), copied(book, identity), hours.clone());
    add(
        own,
        label,
        MOMENT,
        Box::new(move |run| {
            let now = run.places.now;
            let own: Vec<&str> = hours.texts().collect();
            let within = hours.at(now).is_some_and(|stretch| stretch.within);
            // The clause's own words where the clock allows, else hours that are what the run needs now.
            let value = if within == run.twin {
                list(&own)
            } else {
                quoted(hours_now(now, run.twin))
            };
            let more = format!("hours = {value}\n");
            let witness = book.witness(duty)?;
            usage(
                &book,
                run,
                &copied,
                (&[], &more),
                |draft, token| {
                    draft.ask_as(run.apart("copy"), message(&witness, None, token));
                    Some(())
                },
                duty,
            )
        }),
    );
}

fn second_factors(book: &Arc<Book>, own: &mut Own) {
    let names: Vec<String> = book
        .policy
        .duties()
        .filter(|duty| duty.second_factor)
        .map(|duty| duty.name.to_string())
        .collect();
    for name in names {
        let clause = format!("second-factor-{name}");
        let found = (0..u32::MAX)
            .map(DutyId)
            .take(book.policy.duties().len())
            .find(|id| book.name(*id) == name)
            .filter(|id| book.witness(*id).is_some());
        let Some(duty) = found else {
            own.undrilled.push(format!("{clause}: {SOCKET}"));
            continue;
        };
        let label = (
            clause,
            format!("{name} with a token that shows no second factor"),
            &["T1078.004", "T1556.006"][..],
            "API2",
            "second-factor",
        );
        let book = Arc::clone(book);
        add(
            own,
            label,
            MOMENT,
            Box::new(move |run| {
                let mut draft = Draft::default();
                let owner = run.name("owner");
                let holder = Holder {
                    owner: &owner,
                    duties: &[book.name(duty)],
                    ..Holder::default()
                };
                let subject = draft.subject(run, "human", &holder);
                let methods: &[&str] = run.either(&["pwd"], &["pwd", "otp", "mfa"]);
                book.approve(&mut draft, run, duty, super::DEPTH)?;
                draft.ask_as(
                    run.apart("human"),
                    message(&book.witness(duty)?, None, &token(run, &subject, methods)),
                );
                Some(draft)
            }),
        );
    }
}

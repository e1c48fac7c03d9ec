//! Messages against an independent reader, and against bytes that nobody means.

use crossmesh_dns_agent::wire::{
    Ede, Edns, Message, Owner, Parsed, Query, Rcode, Section, Transport, Writer, parse, reject,
};
use hickory_proto::op::{self, ResponseCode};
use proptest::{collection::vec, prelude::*};

use crate::support::message::{QUESTION, name, option, query, record, reply, soa};

fn read(bytes: &[u8]) -> Query {
    match parse(bytes) {
        Parsed::Query(query) => query,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_query_is_read_with_its_case_kept_and_its_name_lowered() {
    let query = read(&query("WwW.Example.com").id(7).rtype(28).dnssec_ok().bytes());
    assert_eq!(query.id, 7);
    assert_eq!(query.original.as_wire(), name("WwW.Example.com"));
    assert_eq!(query.name.as_wire(), name("www.example.com"));
    assert_eq!((query.rtype, query.class), (28, 1));
    let edns = Edns {
        size: 1232,
        version: 0,
        dnssec_ok: true,
    };
    assert_eq!(query.edns, Some(edns));
}

#[test]
fn what_is_no_query_gets_no_reply_or_the_code_that_fits() {
    let good = query("a.b").bytes();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let and = |more: &[u8], additionals: u8| {
        let mut bytes = with(11, additionals);
        bytes.extend(more);
        bytes
    };
    let opt = record(&[0], 41, 0, &[]);
    let check = |what: &str, bytes: &[u8], expected: &str| {
        let found = match parse(bytes) {
            Parsed::Ignore => "ignore".to_owned(),
            Parsed::Reject(rejection) => format!("{:?}", rejection.rcode),
            Parsed::Query(_) => "query".to_owned(),
        };
        assert_eq!(found, expected, "{what}");
    };
    check("a query", &good, "query");
    check("nothing", &[], "ignore");
    check("11 bytes", &good[..11], "ignore");
    check("a reply", &with(2, 0x81), "ignore");
    check("a status query", &with(2, 0x10), "NotImp");
    check("a notification", &with(2, 0x20), "NotImp");
    check("an update", &with(2, 0x28), "NotImp");
    check("no question", &with(5, 0), "FormErr");
    check("two questions", &with(5, 2), "FormErr");
    check("a question cut short", &good[..good.len() - 1], "FormErr");
    check("a header alone", &good[..12], "FormErr");
    check("a pointer in the question", &with(12, 0xc0), "FormErr");
    check("a label type that is not used", &with(12, 0x41), "FormErr");
    check("a record that is not there", &with(11, 1), "FormErr");
    check("one OPT", &and(&opt, 1), "query");
    let with_options = |options: &[u8]| and(&record(&[0], 41, 0, options), 1);
    check(
        "an unknown option",
        &with_options(&[0xff, 0xee, 0, 1, 7]),
        "query",
    );
    check("an empty option", &with_options(&[0, 10, 0, 0]), "query");
    check(
        "an option cut short",
        &with_options(&[0, 10, 0, 9, 1]),
        "FormErr",
    );
    check(
        "half an option's head",
        &with_options(&[0, 10, 0]),
        "FormErr",
    );
    // Another version's options may look like anything: their sender is told ours (RFC 6891 §6.1.3).
    let mut newer = with_options(&[0, 10, 0]);
    newer[good.len() + 6] = 1;
    check("half an option's head in EDNS 1", &newer, "query");
    assert_eq!(read(&newer).edns.map(|edns| edns.version), Some(1));
    let mut longer = and(&opt, 1);
    let end = longer.len();
    longer[end - 1] = 9;
    check("OPT longer than the message", &longer, "FormErr");
    check(
        "two OPT",
        &and(&[opt.clone(), opt.clone()].concat(), 2),
        "FormErr",
    );
    check(
        "OPT with a name",
        &and(&record(&name("a"), 41, 0, &[]), 1),
        "FormErr",
    );
    check(
        "another additional record",
        &and(&record(QUESTION, 1, 0, &[1; 4]), 1),
        "query",
    );
    let mut answer = with(7, 1);
    answer.extend(&opt);
    check("OPT among the answers", &answer, "FormErr");
    let long = [
        "a".repeat(63),
        "b".repeat(63),
        "c".repeat(63),
        "d".repeat(61),
    ]
    .join(".");
    check("a name of 255 bytes", &query(&long).bytes(), "query");
    check(
        "a name of 256 bytes",
        &query(&(long + "d")).bytes(),
        "FormErr",
    );
}

#[test]
fn the_limit_of_a_reply_follows_transport_and_edns() {
    let check = |query: &[u8], transport, expected: usize| {
        assert_eq!(read(query).reply_limit(transport), expected);
    };
    check(&query("a").bytes(), Transport::Udp, 512);
    check(&query("a").edns(0).bytes(), Transport::Udp, 512);
    check(&query("a").edns(511).bytes(), Transport::Udp, 512);
    check(&query("a").edns(800).bytes(), Transport::Udp, 800);
    check(&query("a").edns(4096).bytes(), Transport::Udp, 1232);
    check(&query("a").bytes(), Transport::Tcp, 65_535);
    check(&query("a").edns(512).bytes(), Transport::Tcp, 65_535);
}

#[test]
fn records_that_do_not_fit_are_left_out_whole_and_the_reply_says_so() {
    let query = read(&query("a.b").bytes());
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, &query, 80, Rcode::NoError, None);
    let mut fitted = 0;
    while writer.record(Section::Answer, Owner::Question, 1, 5, &[1, 2, 3, 4]) {
        fitted += 1;
    }
    writer.finish();
    let message = op::Message::from_vec(&out).unwrap();
    assert!(message.metadata.truncation);
    assert_eq!((message.answers.len(), fitted), (3, 3));
    assert!(out.len() <= 80);
}

#[test]
fn an_additional_record_that_does_not_fit_is_no_loss() {
    let query = read(&query("a.b").bytes());
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, &query, 30, Rcode::NoError, None);
    assert!(!writer.record(Section::Additional, Owner::Question, 1, 5, &[1, 2, 3, 4]));
    writer.finish();
    assert!(!op::Message::from_vec(&out).unwrap().metadata.truncation);
}

#[test]
fn a_relayed_message_changes_only_what_it_must() {
    let asked = query("www.example.com").id(1).edns(1232).bytes();
    let upstream = reply(
        &asked,
        0x85f0,
        [
            &[
                record(QUESTION, 1, 300, &[192, 0, 2, 1]),
                record(QUESTION, 65_400, 60, &[9, 8]),
            ],
            &[record(
                &name("example.com"),
                2,
                86_400,
                &name("ns.example.com"),
            )],
            &[record(&name("ns.example.com"), 1, 3_600, &[192, 0, 2, 53])],
        ],
    );
    let message = Message::parse(upstream.clone()).unwrap();
    // RD and CD are the client's; AD is told because it asked; AA, RA and Z are the server's.
    let client = query("WWW.example.com").id(2).flags(0x0020).bytes();
    let mut out = Vec::new();
    message.write(&mut out, &read(&client), 512, 50);
    let expected = reply(
        &client,
        0x84e0,
        [
            &[
                record(QUESTION, 1, 250, &[192, 0, 2, 1]),
                record(QUESTION, 65_400, 10, &[9, 8]),
            ],
            &[record(
                &name("example.com"),
                2,
                86_350,
                &name("ns.example.com"),
            )],
            &[record(&name("ns.example.com"), 1, 3_550, &[192, 0, 2, 53])],
        ],
    );
    assert_eq!(out, expected);
    op::Message::from_vec(&out).unwrap();
}

#[test]
fn edns_is_relayed_to_whom_it_was_asked_by_without_what_concerns_one_hop() {
    let asked = query("a.b").edns(1232).bytes();
    let nsid = [0, 3, 0, 2, b'n', b's'];
    let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let opt = record(&[0], 41, 0x0000_8000, &[cookie.as_slice(), &nsid].concat());
    let answer = record(QUESTION, 1, 5, &[1, 2, 3, 4]);
    let message = Message::parse(reply(&asked, 0x8180, [&[answer], &[], &[opt]])).unwrap();

    let mut out = Vec::new();
    message.write(&mut out, &read(&asked), 1232, 0);
    let found = op::Message::from_vec(&out).unwrap();
    let edns = found.edns.unwrap();
    assert_eq!(edns.max_payload(), 1232);
    assert!(!edns.flags().dnssec_ok, "the bit is the query's");
    assert_eq!(edns.options().as_ref().len(), 1);
    assert!(edns.option(3_u16.into()).is_some());

    message.write(&mut out, &read(&query("a.b").bytes()), 512, 0);
    assert!(op::Message::from_vec(&out).unwrap().edns.is_none());
}

#[test]
fn of_a_querys_options_those_are_passed_on_that_do_not_concern_one_hop() {
    let subnet = [0, 1, 24, 0, 192, 0, 2];
    let draft = query("a.b").option(10, &[7; 8]).option(8, &subnet);
    let draft = draft.option(11, &[]).option(12, &[0; 100]);
    let draft = draft.option(65_001, b"any");
    let kept = [option(8, &subnet), option(65_001, b"any")].concat();
    assert_eq!(*read(&draft.bytes()).options, *kept);
    // Of what concerns one hop nothing is kept, nor of more than anybody needs.
    let hop = query("a.b").option(10, &[7; 8]);
    assert!(read(&hop.bytes()).options.is_empty());
    let long = query("a.b").option(8, &subnet).option(65_001, &[1; 300]);
    assert!(read(&long.bytes()).options.is_empty());
}

#[test]
fn an_extended_code_becomes_a_failure_for_who_cannot_take_it() {
    let asked = query("a.b").edns(1232).bytes();
    // BADCOOKIE is 23: 7 in the header, 1 in OPT.
    let opt = record(&[0], 41, 0x0100_0000, &[]);
    let message = Message::parse(reply(&asked, 0x8187, [&[], &[], &[opt]])).unwrap();
    assert_eq!(message.rcode(), 23);
    let mut out = Vec::new();
    message.write(&mut out, &read(&asked), 1232, 0);
    let code = |out: &[u8]| op::Message::from_vec(out).unwrap().metadata.response_code;
    assert_eq!(code(&out), ResponseCode::BADCOOKIE);
    message.write(&mut out, &read(&query("a.b").bytes()), 512, 0);
    assert_eq!(code(&out), ResponseCode::ServFail);
}

#[test]
fn a_relayed_message_is_cut_between_records() {
    let asked = query("a.b").bytes();
    let answers = vec![record(QUESTION, 16, 5, &[&[99; 1][..], &[b'x'; 99]].concat()); 20];
    let message = Message::parse(reply(&asked, 0x8180, [&answers, &[], &[]])).unwrap();
    let mut out = Vec::new();
    message.write(&mut out, &read(&asked), 512, 0);
    let found = op::Message::from_vec(&out).unwrap();
    assert!(found.metadata.truncation && out.len() <= 512);
    assert_eq!(found.answers.len(), 4);
    message.write(&mut out, &read(&asked), 65_535, 0);
    let found = op::Message::from_vec(&out).unwrap();
    assert!(!found.metadata.truncation);
    assert_eq!(found.answers.len(), 20);
}

#[test]
fn how_long_a_denial_may_be_kept_is_the_lesser_of_ttl_and_minimum() {
    let asked = query("a.b").bytes();
    let denial = |ttl, minimum| {
        let soa = record(&name("b"), 6, ttl, &soa(minimum));
        Message::parse(reply(&asked, 0x8183, [&[], &[soa], &[]])).unwrap()
    };
    assert_eq!(denial(60, 30).negative_ttl(), Some(30));
    assert_eq!(denial(20, 30).negative_ttl(), Some(20));
    let bare = Message::parse(reply(&asked, 0x8183, [&[], &[], &[]])).unwrap();
    assert_eq!(bare.negative_ttl(), None);
}

#[test]
fn a_ttl_with_the_top_bit_is_zero() {
    let asked = query("a.b").bytes();
    let answer = record(QUESTION, 1, 0x8000_0001, &[1; 4]);
    let message = Message::parse(reply(&asked, 0x8180, [&[answer], &[], &[]])).unwrap();
    assert_eq!(message.least_ttl(), Some(0));
}

/// Bytes of some plausible message with a few bits turned.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let asked = query("www.example.com").edns(1232).bytes();
    let whole = reply(
        &asked,
        0x8180,
        [
            &[
                record(QUESTION, 1, 300, &[192, 0, 2, 1]),
                record(QUESTION, 16, 3, b"\x03abc"),
            ],
            &[record(&name("example.com"), 6, 60, &soa(30))],
            &[
                record(&[0], 41, 0, &[0, 3, 0, 1, 7]),
                record(QUESTION, 28, 9, &[0; 16]),
            ],
        ],
    );
    (
        any::<bool>(),
        vec((any::<prop::sample::Index>(), 0..8_u8), 0..6),
        any::<prop::sample::Index>(),
    )
        .prop_map(move |(is_reply, flips, cut)| {
            let mut bytes = if is_reply {
                whole.clone()
            } else {
                asked.clone()
            };
            for (at, bit) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            let keep = cut.index(bytes.len() * 2);
            bytes.truncate(keep.max(1));
            bytes
        })
}

/// Whatever the bytes are: reading them, refusing them, replying to them and relaying them ends, stays within the
/// limit, and gives a message that can be read.
fn survives(bytes: &[u8], limit: usize) -> Result<(), TestCaseError> {
    let mut out = Vec::new();
    match parse(bytes) {
        Parsed::Ignore => {}
        Parsed::Reject(rejection) => {
            reject(&mut out, rejection);
            prop_assert_eq!(out.len(), 12);
        }
        Parsed::Query(query) => {
            let ede = Some(Ede {
                code: 14,
                text: "not yet",
            });
            let mut writer = Writer::new(&mut out, &query, limit, Rcode::NoError, ede);
            for section in [Section::Answer, Section::Authority, Section::Additional] {
                writer.record(section, Owner::Question, 1, 5, &[1, 2, 3, 4]);
            }
            writer.finish();
            prop_assert!(out.len() <= limit);
            let found = Message::parse(out.clone());
            prop_assert!(found.is_some());
        }
    }
    if let Some(message) = Message::parse(bytes.to_vec()) {
        let mut question = vec![0; 12];
        question[5] = 1;
        question.extend(message.question());
        if let Parsed::Query(query) = parse(&question) {
            message.write(&mut out, &query, limit, 7);
            prop_assert!(out.len() <= limit);
            prop_assert!(Message::parse(out.clone()).is_some());
        }
        // Its pointers may then lead nowhere, but it must not fail on our side.
        let other = read(&query("a").edns(512).bytes());
        message.write(&mut out, &other, limit, u32::MAX);
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_bytes_break_anything(bytes in vec(any::<u8>(), 0..600), limit in 512..1300_usize) {
        survives(&bytes, limit)?;
    }

    #[test]
    fn no_damage_breaks_anything(bytes in damaged(), limit in 512..1300_usize) {
        survives(&bytes, limit)?;
    }

    #[test]
    fn what_hickory_writes_we_read_and_what_we_write_hickory_reads(
        labels in vec("_?[a-zA-Z0-9]([a-zA-Z0-9_-]{0,20}[a-zA-Z0-9])?", 1..6),
        id: u16,
        rtype in 1..300_u16,
        edns: Option<u16>,
        addresses in vec(any::<[u8; 4]>(), 0..80),
    ) {
        let text = labels.join(".");
        let mut message = op::Message::query();
        message.metadata.id = id;
        let asked = hickory_proto::rr::Name::from_ascii(format!("{text}.")).unwrap();
        message.add_query(op::Query::query(asked.clone(), rtype.into()));
        if let Some(size) = edns {
            let mut record = op::Edns::new();
            record.set_max_payload(size);
            message.set_edns(record);
        }
        let query = read(&message.to_vec().unwrap());
        prop_assert_eq!(query.original.as_wire(), name(&text));
        prop_assert_eq!((query.id, query.rtype), (id, rtype));
        prop_assert_eq!(query.edns.is_some(), edns.is_some());

        let limit = query.reply_limit(Transport::Udp);
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, &query, limit, Rcode::NoError, None);
        for address in &addresses {
            if !writer.record(Section::Answer, Owner::Question, 1, 5, address) {
                break;
            }
        }
        writer.finish();
        prop_assert!(out.len() <= limit);
        let found = op::Message::from_vec(&out).unwrap();
        prop_assert_eq!(found.metadata.truncation, found.answers.len() < addresses.len());
        prop_assert_eq!(found.edns.is_some(), edns.is_some());
        for record in &found.answers {
            // Equal to the letter, case included.
            prop_assert!(record.name.eq_case(&asked));
        }
    }
}

//! What nobody sends who means well, to a whole agent over both transports: it replies by the rules or not at all, and goes
//! on serving the others.

use std::time::Duration;

use hickory_proto::op::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use crate::support::{
    agent::{Agent, PATIENCE, ask_stream, data, upstream},
    message::{QUESTION, query, record, reply},
    servers::nobody,
};

const NAME: &str = "reviews.shop.svc.cluster.local";

/// Messages, and the code of the reply; `None` for silence.
fn messages() -> Vec<(String, Vec<u8>, Option<u8>)> {
    const FORMERR: Option<u8> = Some(1);
    const NOTIMP: Option<u8> = Some(4);
    const REFUSED: Option<u8> = Some(5);
    let good = query(NAME).bytes();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let mut all: Vec<(String, Vec<u8>, Option<u8>)> = Vec::new();
    let mut add = |what: &str, bytes: Vec<u8>, code| all.push((what.to_owned(), bytes, code));
    for opcode in 1..16_u16 {
        add(
            &format!("opcode {opcode}"),
            query(NAME).flags(opcode << 11).bytes(),
            NOTIMP,
        );
        let answer = query(NAME).flags(0x8000 | opcode << 11).bytes();
        add(&format!("a reply of opcode {opcode}"), answer, None);
    }
    for class in [0, 2, 3, 4, 254, 255, 65_535] {
        add(
            &format!("class {class}"),
            query(NAME).class(class).bytes(),
            REFUSED,
        );
    }
    for count in [0, 2, 255] {
        add(&format!("{count} questions said"), with(5, count), FORMERR);
    }
    for section in [7, 9, 11] {
        for count in [1, 255] {
            add(
                &format!("{count} records said at {section}"),
                with(section, count),
                FORMERR,
            );
        }
    }
    for length in 0..good.len() {
        let code = if length < 12 { None } else { FORMERR };
        add(&format!("{length} bytes"), good[..length].to_vec(), code);
    }
    add(
        "a reply",
        reply(
            &good,
            0x8180,
            [&[record(QUESTION, 1, 5, &[1; 4])], &[], &[]],
        ),
        None,
    );
    // A name that points to itself, to what points to it, into the header, and to beyond the end.
    for target in [12_u8, 14, 0, 255] {
        let mut bytes = good[..12].to_vec();
        bytes.extend([0xc0, target, 0xc0, 12, 0, 1, 0, 1]);
        add(
            &format!("a question that points to {target}"),
            bytes,
            FORMERR,
        );
    }
    let opt = record(&[0], 41, 0, &[]);
    let mut twice = with(11, 2);
    twice.extend([opt.as_slice(), &opt].concat());
    add("OPT twice", twice, FORMERR);
    let mut misplaced = with(9, 1);
    misplaced.extend(&opt);
    add("OPT among the authorities", misplaced, FORMERR);
    for version in [1, 255] {
        let bytes = query(NAME).edns_version(version).bytes();
        // The lower bits of BADVERS (16), whose upper ones are in OPT.
        add(&format!("EDNS version {version}"), bytes, Some(0));
    }
    all
}

#[tokio::test]
async fn every_message_is_replied_to_by_the_rules_over_udp() {
    let agent = agent().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(agent.dns).await.unwrap();
    let good = query(NAME).id(0x7777).bytes();
    for (what, bytes, expected) in messages() {
        socket.send(&bytes).await.unwrap();
        // Served in order: silence is that the next reply comes first.
        socket.send(&good).await.unwrap();
        let mut buffer = [0; 512];
        if let Some(code) = expected {
            let length = socket.recv(&mut buffer).await.unwrap();
            assert_eq!(buffer[3] & 0x0f, code, "{what}");
            assert_eq!(buffer[..2], bytes[..2], "{what}");
            assert!(
                buffer[2] & 0x80 != 0 && length <= bytes.len().max(12) + 11,
                "{what}"
            );
        }
        let length = timeout(PATIENCE, socket.recv(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(buffer[..2], [0x77, 0x77], "{what}");
        assert_eq!(
            data(&Message::from_vec(&buffer[..length]).unwrap()),
            ["10.1.0.9"],
            "{what}"
        );
    }
    agent.stop().await;
}

#[tokio::test]
async fn every_message_is_replied_to_by_the_rules_over_tcp() {
    let agent = agent().await;
    for (what, bytes, expected) in messages() {
        let mut stream = TcpStream::connect(agent.dns).await.unwrap();
        let reply = ask_stream(&mut stream, &bytes).await;
        match expected {
            Some(code) => assert_eq!(reply.unwrap()[3] & 0x0f, code, "{what}"),
            // A length of zero among them; whoever sends no query is not listened to further.
            None => assert!(reply.is_err(), "{what}"),
        }
    }
    let mut stream = TcpStream::connect(agent.dns).await.unwrap();
    ask_stream(&mut stream, &query(NAME).bytes()).await.unwrap();
    agent.stop().await;
}

#[tokio::test]
async fn who_sends_a_message_byte_by_byte_or_half_of_it_loses_the_connection_and_hurts_nobody() {
    let lines = format!("{}tcp: {{idleTimeout: 300ms}}\n", upstream(nobody().await));
    let agent = Agent::start(&lines).await;
    let good = query(NAME).bytes();
    let mut half = TcpStream::connect(agent.dns).await.unwrap();
    let length = u16::try_from(good.len()).unwrap().to_be_bytes();
    half.write_all(&[&length, &good[..5]].concat())
        .await
        .unwrap();
    let mut slow = TcpStream::connect(agent.dns).await.unwrap();
    // Much is announced, and never as long silent as may be.
    slow.write_all(&[0xff, 0xff]).await.unwrap();
    let dribbling = async {
        while slow.write_all(&[0]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, dribbling).await.expect("an end");
    let end = timeout(PATIENCE, half.read(&mut [0]))
        .await
        .expect("an end");
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    let mut other = TcpStream::connect(agent.dns).await.unwrap();
    ask_stream(&mut other, &good).await.unwrap();
    agent.stop().await;
}

async fn agent() -> Agent {
    Agent::start(&upstream(nobody().await)).await
}

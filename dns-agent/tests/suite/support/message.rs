//! Queries as bytes, written here once more so that nothing of the agent's own is believed.

/// A query for the A records of a name, RD set.
pub(crate) fn query(name: &str) -> Draft {
    Draft {
        name: name.to_owned(),
        id: 0x1234,
        flags: 0x0100,
        rtype: 1,
        class: 1,
        edns: None,
        options: Vec::new(),
    }
}

#[derive(Clone)]
pub(crate) struct Draft {
    name: String,
    id: u16,
    flags: u16,
    rtype: u16,
    class: u16,
    edns: Option<(u16, u8, bool)>,
    options: Vec<u8>,
}

impl Draft {
    pub(crate) fn id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    /// The whole second word of the header.
    pub(crate) fn flags(mut self, flags: u16) -> Self {
        self.flags = flags;
        self
    }

    pub(crate) fn rtype(mut self, rtype: u16) -> Self {
        self.rtype = rtype;
        self
    }

    pub(crate) fn class(mut self, class: u16) -> Self {
        self.class = class;
        self
    }

    pub(crate) fn edns(mut self, size: u16) -> Self {
        self.edns = Some((size, 0, false));
        self
    }

    pub(crate) fn edns_version(mut self, version: u8) -> Self {
        self.edns = Some((1232, version, false));
        self
    }

    pub(crate) fn dnssec_ok(mut self) -> Self {
        self.edns = Some((1232, 0, true));
        self
    }

    /// One more option of EDNS.
    pub(crate) fn option(mut self, code: u16, data: &[u8]) -> Self {
        self.edns.get_or_insert((1232, 0, false));
        self.options.extend(option(code, data));
        self
    }

    pub(crate) fn question(&self) -> Vec<u8> {
        let mut bytes = name(&self.name);
        bytes.extend(self.rtype.to_be_bytes());
        bytes.extend(self.class.to_be_bytes());
        bytes
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let additionals = u16::from(self.edns.is_some());
        for word in [self.id, self.flags, 1, 0, 0, additionals] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(self.question());
        if let Some((size, version, dnssec_ok)) = self.edns {
            bytes.extend([0, 0, 41]);
            bytes.extend(size.to_be_bytes());
            bytes.extend([0, version, if dnssec_ok { 0x80 } else { 0 }, 0]);
            bytes.extend(u16::try_from(self.options.len()).unwrap().to_be_bytes());
            bytes.extend(&self.options);
        }
        bytes
    }
}

/// A name as it travels.
pub(crate) fn name(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// A record with an uncompressed owner.
pub(crate) fn record(owner: &[u8], rtype: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = owner.to_vec();
    bytes.extend(rtype.to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend(ttl.to_be_bytes());
    bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    bytes.extend(data);
    bytes
}

/// An option of EDNS as it travels.
pub(crate) fn option(code: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    [&code.to_be_bytes(), &length.to_be_bytes(), data].concat()
}

/// A pointer to the question's name.
pub(crate) const QUESTION: &[u8] = &[0xc0, 12];

/// The data of an SOA with this minimum.
pub(crate) fn soa(minimum: u32) -> Vec<u8> {
    let mut data = [name("ns.example.com"), name("root.example.com")].concat();
    for number in [1, 2, 3, 4, minimum] {
        data.extend(number.to_be_bytes());
    }
    data
}

/// A reply to a query's bytes: its identifier and question, these flags, and these records by section.
pub(crate) fn reply(query: &[u8], flags: u16, sections: [&[Vec<u8>]; 3]) -> Vec<u8> {
    let mut bytes = query[..2].to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes.extend([0, 1]);
    for section in sections {
        bytes.extend(u16::try_from(section.len()).unwrap().to_be_bytes());
    }
    bytes.extend(question_of(query));
    for section in sections {
        bytes.extend(section.concat());
    }
    bytes
}

/// The question's bytes in a message without compression there.
pub(crate) fn question_of(message: &[u8]) -> &[u8] {
    let mut at = 12;
    while message[at] != 0 {
        at += usize::from(message[at]) + 1;
    }
    &message[12..at + 5]
}

/// The type asked for.
pub(crate) fn rtype_of(message: &[u8]) -> u16 {
    let question = question_of(message);
    let at = question.len() - 4;
    u16::from_be_bytes([question[at], question[at + 1]])
}

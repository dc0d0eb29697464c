//! Frames of HTTP/2, right and wrong (RFC 9113 §4, §6), and header blocks without compression (RFC 7541 §6.2.2).

/// What begins a connection: the preface and empty settings.
pub fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// The setting SETTINGS_INITIAL_WINDOW_SIZE, and none.
pub const NO_WINDOW: &[u8] = &[0, 4, 0, 0, 0, 0];

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block of literals.
pub fn block(method: &str, path: &str, token: &str) -> Vec<u8> {
    let authorization = format!("Bearer {token}");
    let fields = [
        (":method", method),
        (":scheme", "https"),
        (":authority", "x"),
        (":path", path),
        ("authorization", &authorization),
        ("content-type", "application/json"),
    ];
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// A literal field; both are short.
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        bytes.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text"));
        bytes.extend(text.as_bytes());
    }
    bytes
}

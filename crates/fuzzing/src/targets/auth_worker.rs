//! What the auth process says to its workers.

use auth::probe::Probe;

const CONFIG: &str = "auth_username_chars =\n\
    passdb {\n driver = static\n args = password=secret\n}\nuserdb {\n driver = static\n args = uid=5 gid=5\n}\n";

thread_local! {
    static PROBE: Probe = Probe::new(CONFIG, crate::kit::logger()).expect("the configuration is right");
}

pub(crate) fn run(data: &[u8]) {
    // Bytes as they come, and the same in a frame.
    let mut framed = u32::try_from(data.len()).expect("small").to_le_bytes().to_vec();
    framed.extend_from_slice(data);
    PROBE.with(|probe| {
        let _ = probe.work(data);
        let _ = probe.work(&framed);
    });
}

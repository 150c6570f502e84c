//! What processes say to each other, as the other side reads it; and log lines.

use ipc::Decoder;
use serde::de::DeserializeOwned;

fn all<T: DeserializeOwned>(data: &[u8]) {
    let mut decoder = Decoder::new();
    for piece in data.chunks(7) {
        decoder.push(piece);
        while let Ok(Some(_)) = decoder.message::<T>() {}
    }
}

pub(crate) fn run(data: &[u8]) {
    all::<ipc::anvil::ToAnvil>(data);
    all::<ipc::anvil::FromAnvil>(data);
    all::<ipc::anvil::Query>(data);
    all::<ipc::anvil::Answer>(data);
    all::<ipc::auth_worker::ToWorker>(data);
    all::<ipc::auth_worker::FromWorker>(data);
    all::<ipc::config::Query>(data);
    all::<ipc::config::Answer>(data);
    all::<ipc::connect::Connect>(data);
    all::<ipc::connect::Connected>(data);
    all::<ipc::control::Birth>(data);
    all::<ipc::control::ToChild>(data);
    all::<ipc::control::ToLog>(data);
    all::<ipc::control::ToConfig>(data);
    all::<ipc::control::ToMaster>(data);
    all::<ipc::control::FromConfig>(data);
    all::<ipc::handover::Request>(data);
    all::<ipc::handover::Reply>(data);
    all::<ipc::identity::Pass>(data);
    all::<ipc::identity::PassReply>(data);
    all::<ipc::log::ErrorsQuery>(data);
    all::<ipc::log::KeptLine>(data);
    all::<ipc::master::Query>(data);
    all::<ipc::master::Answer>(data);
    let mut splitter = ipc::log::Splitter::default();
    data.chunks(5).for_each(|piece| drop(splitter.push(piece)));
    let _ = splitter.finish();
}

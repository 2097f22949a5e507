//! What the pool and a fork server tell each other: messages on a socket that keeps their borders, in JSON.
//!
//! A request to fork brings three descriptors along: the process's ends of its pipes. What a process is to do, and what it
//! makes of it, does not come this way, so that every message is small.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Most bytes of a message.
const MESSAGE_BYTES_MAX: usize = 32 << 10;

/// Most bytes of text in a message, which JSON may write as six bytes each.
pub(crate) const TEXT_BYTES_MAX: usize = 4 << 10;

/// How many descriptors a request to fork brings along.
pub(crate) const PIPES: usize = 3;

/// What the pool wants of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// A process with these pipes: input, output, log.
    Fork {
        /// By which the replies name it.
        number: u64,
    },
}

/// What a server tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The task is loaded; requests are welcome.
    Loaded,
    /// The task cannot be loaded; the server ends.
    NotLoaded {
        /// Why, at most [`TEXT_BYTES_MAX`].
        reason: String,
    },
    /// A process was forked.
    Forked { number: u64, pid: i32 },
    /// The system did not fork.
    NotForked { number: u64, errno: i32 },
    /// A process has ended and is reaped.
    Ended { number: u64, end: End },
}

/// How a process ended, and what it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    /// As wait(2) gives it.
    pub(crate) status: i32,
    /// Processor time in user and in kernel mode.
    pub(crate) cpu: Duration,
    /// The most memory it had, what it shares with the server included, in bytes.
    pub(crate) peak_memory_bytes: u64,
}

/// A socket with two ends, neither of which is inherited.
pub(crate) fn socket() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?)
}

/// Sends one message, and descriptors with it.
pub(crate) fn send(socket: impl AsFd, message: &impl Serialize, with: &[BorrowedFd<'_>]) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PIPES))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !with.is_empty() && !control.push(SendAncillaryMessage::ScmRights(with)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    // Nobody wants a signal where the other side is gone: the error says so.
    sendmsg(socket, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Takes the next message, with the descriptors that came along; `None` at the end.
pub(crate) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut text = [0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PIPES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&text[..received.bytes])?, descriptors)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustix::net::send as send_bytes;

    use super::*;

    fn reply() -> impl Strategy<Value = Reply> {
        let end =
            (any::<i32>(), any::<u32>(), any::<u64>()).prop_map(|(status, millis, peak_memory_bytes)| End {
                status,
                cpu: Duration::from_millis(millis.into()),
                peak_memory_bytes,
            });
        prop_oneof![
            Just(Reply::Loaded),
            prop::collection::vec(any::<char>(), 0..TEXT_BYTES_MAX / 4)
                .prop_map(|reason| Reply::NotLoaded { reason: reason.into_iter().collect() }),
            (any::<u64>(), any::<i32>()).prop_map(|(number, pid)| Reply::Forked { number, pid }),
            (any::<u64>(), any::<i32>()).prop_map(|(number, errno)| Reply::NotForked { number, errno }),
            (any::<u64>(), end).prop_map(|(number, end)| Reply::Ended { number, end }),
        ]
    }

    proptest! {
        #[test]
        fn messages_arrive_one_by_one_and_with_their_descriptors(replies in prop::collection::vec(reply(), 1..5)) {
            let (ours, its) = socket().unwrap();
            for (count, reply) in replies.iter().enumerate() {
                let with = vec![its.as_fd(); count.min(PIPES)];
                send(&ours, reply, &with).unwrap();
            }
            for (count, reply) in replies.into_iter().enumerate() {
                let (received, descriptors) = receive::<Reply>(&its).unwrap().unwrap();
                prop_assert_eq!((received, descriptors.len()), (reply, count.min(PIPES)));
            }
            drop(ours);
            prop_assert!(receive::<Reply>(&its).unwrap().is_none());
        }

        #[test]
        fn whatever_else_arrives_is_an_error_and_the_next_message_is_whole(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 1..100),
                "\\{\"(Forked|Ended|Loaded)\":[ -~]{0,40}".prop_map(String::into_bytes),
                (MESSAGE_BYTES_MAX..MESSAGE_BYTES_MAX + 100).prop_map(|length| vec![b' '; length]),
            ],
        ) {
            let (ours, its) = socket().unwrap();
            send_bytes(&ours, &bytes, SendFlags::NOSIGNAL).unwrap();
            send(&ours, &Reply::Loaded, &[]).unwrap();
            let understood = serde_json::from_slice::<Reply>(&bytes).is_ok();
            prop_assert_eq!(receive::<Reply>(&its).is_ok(), understood);
            prop_assert_eq!(receive::<Reply>(&its).unwrap().unwrap().0, Reply::Loaded);
        }
    }
}

//! The encoding of Paxos messages, whose types belong to `paxos` and know nothing of it.
//!
//! Each type is written field by field through [`Mirror`]. The macros take structs apart and match enums without a rest
//! pattern, so that a field or variant added in `paxos` does not compile here until it is encoded. A value's bytes are the
//! frame's body; the meta has only its length and checksum.

use std::ops::Range;

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError as TakeError, EncodeError as PutError};
use bincode::{Decode, Encode};
use bytes::Bytes;
use paxlog_paxos::{
    Accept, Accepted, AskIndex, BelowChosen, Confirm, Confirmed, Echo, Envelope, Fetch,
    FetchAnswer, FetchReply, FetchWhat, Form, FormAnswer, FormAsk, HandOver, Heartbeat, Index,
    Leading, Message, Prepare, Promise, PromisedSlot, Refuse, UnknownSlots,
};
use paxlog_paxos::{
    Ballot, ClusterId, ConfigNumber, GroupId, Incarnation, Member, ReplicaId, Slot, Value,
};

/// The body that came with the meta being decoded; whoever decodes a value takes it.
pub(super) struct Body<'a> {
    pub(super) parts: &'a mut Option<Vec<Bytes>>,
    pub(super) damaged: &'a mut bool,
}

/// A type of `paxos` as bytes.
pub(super) trait Mirror: Sized {
    fn put<E: Encoder>(&self, to: &mut E) -> Result<(), PutError>;
    fn take<'a, D: Decoder<Context = Body<'a>>>(from: &mut D) -> Result<Self, TakeError>;
}

/// An envelope being encoded.
pub(super) struct Put<'a>(pub(super) &'a Envelope);

/// An envelope that was decoded.
pub(super) struct Taken(pub(super) Envelope);

impl Encode for Put<'_> {
    fn encode<E: Encoder>(&self, to: &mut E) -> Result<(), PutError> {
        self.0.put(to)
    }
}

impl<'a> Decode<Body<'a>> for Taken {
    fn decode<D: Decoder<Context = Body<'a>>>(from: &mut D) -> Result<Self, TakeError> {
        Envelope::take(from).map(Taken)
    }
}

/// The value whose bytes are the body, if the message has one.
pub(super) fn value_of(message: &Message) -> Option<&Value> {
    match message {
        Message::Accept(Accept { value, .. })
        | Message::FetchReply(FetchReply {
            answer: FetchAnswer::Chosen { value, .. } | FetchAnswer::Accepted { value, .. },
            ..
        }) => Some(value),
        Message::FetchReply(FetchReply {
            answer: FetchAnswer::End { .. } | FetchAnswer::Absent { .. },
            ..
        })
        | Message::Heartbeat(_)
        | Message::FormAsk(_)
        | Message::FormAnswer(_)
        | Message::Form(_)
        | Message::Prepare(_)
        | Message::Promise(_)
        | Message::Refuse(_)
        | Message::Accepted(_)
        | Message::BelowChosen(_)
        | Message::Fetch(_)
        | Message::Confirm(_)
        | Message::Confirmed(_)
        | Message::HandOver(_)
        | Message::AskIndex(_)
        | Message::Index(_) => None,
    }
}

macro_rules! plain {
    ($($type:ty)*) => { $(
        impl Mirror for $type {
            #[inline]
            fn put<E: Encoder>(&self, to: &mut E) -> Result<(), PutError> {
                self.encode(to)
            }
            #[inline]
            fn take<'a, D: Decoder<Context = Body<'a>>>(from: &mut D) -> Result<Self, TakeError> {
                Self::decode(from)
            }
        }
    )* };
}

macro_rules! newtypes {
    ($($type:ident)*) => { $(
        impl Mirror for $type {
            #[inline]
            fn put<E: Encoder>(&self, to: &mut E) -> Result<(), PutError> {
                let $type(inner) = self;
                inner.put(to)
            }
            #[inline]
            fn take<'a, D: Decoder<Context = Body<'a>>>(from: &mut D) -> Result<Self, TakeError> {
                Mirror::take(from).map($type)
            }
        }
    )* };
}

macro_rules! structs {
    ($($type:ident { $($field:ident),* })*) => { $(
        impl Mirror for $type {
            #[inline]
            fn put<E: Encoder>(&self, _to: &mut E) -> Result<(), PutError> {
                let $type { $($field),* } = self;
                $($field.put(_to)?;)*
                Ok(())
            }
            #[inline]
            fn take<'a, D: Decoder<Context = Body<'a>>>(_from: &mut D) -> Result<Self, TakeError> {
                $(let $field = Mirror::take(_from)?;)*
                Ok($type { $($field),* })
            }
        }
    )* };
}

plain! { bool u32 u64 }

newtypes! { ClusterId GroupId ConfigNumber ReplicaId Incarnation Slot }

structs! {
    Envelope { cluster, group, config, from, incarnation, message }
    Member { id, incarnation }
    Heartbeat {
        life, round, echo, promised, leading, standing, voter, reaches_quorum, disk_well, follows, vouches, priority,
        applied, chosen_prefix, durable_prefix, chosen_below, accepted
    }
    Echo { life, round, held_ns }
    Leading { ballot, first, chosen }
    FormAsk { round }
    FormAnswer { asker, round, blank, statement }
    Form { members, statement }
    Prepare { ballot, first }
    Promise { ballot, chosen_below, chosen_prefix, slots, unknown }
    PromisedSlot { slot, ballot, len, checksum }
    UnknownSlots { slots, ballot }
    Refuse { ballot, promised }
    Accept { ballot, first, free, slot, chosen, value }
    Accepted { ballot, life, upto, received }
    BelowChosen { ballot, chosen_below }
    Fetch { id, what }
    FetchReply { id, answer }
    Confirm { ballot, round }
    Confirmed { ballot, round }
    HandOver { ballot, chosen }
    AskIndex { life, token }
    Index { life, token, index }
}

plain! { u16 u128 }

impl Mirror for Ballot {
    #[inline]
    fn put<E: Encoder>(&self, to: &mut E) -> Result<(), PutError> {
        self.to_u64().put(to)
    }
    #[inline]
    fn take<'a, D: Decoder<Context = Body<'a>>>(from: &mut D) -> Result<Self, TakeError> {
        u64::take(from).map(Ballot::from_u64)
    }
}

impl Mirror for Range<Slot> {
    fn put<E: Encoder>(&self, to: &mut E) -> Result<(), PutError> {
        self.start.put(to)?;
        self.end.put(to)
    }
    fn take<'a, D: Decoder<Context = Body<'a>>>(from: &mut D) -> Result<Self, TakeError> {
        let range = Slot::take(from)?..Slot::take(from)?;
        if range.start > range.end {
            return Err(TakeError::Other("a range of slots ends before it starts"));
        }
        Ok(range)
    }
}

impl<T: Mirror> Mirror for Box<T> {
    #[inline]
    fn put<E: Encoder>(&self, to: &mut E) -> Result<(), PutError> {
        (**self).put(to)
    }
    #[inline]
    fn take<'a, D: Decoder<Context = Body<'a>>>(from: &mut D) -> Result<Self, TakeError> {
        T::take(from).map(Box::new)
    }
}

impl<T: Mirror> Mirror for Option<T> {
    #[inline]
    fn put<E: Encoder>(&self, to: &mut E) -> Result<(), PutError> {
        self.is_some().put(to)?;
        self.as_ref().map_or(Ok(()), |inner| inner.put(to))
    }
    #[inline]
    fn take<'a, D: Decoder<Context = Body<'a>>>(from: &mut D) -> Result<Self, TakeError> {
        bool::take(from)?.then(|| T::take(from)).transpose()
    }
}

impl<T: Mirror> Mirror for Vec<T> {
    fn put<E: Encoder>(&self, to: &mut E) -> Result<(), PutError> {
        (self.len() as u64).put(to)?;
        self.iter().try_for_each(|item| item.put(to))
    }
    fn take<'a, D: Decoder<Context = Body<'a>>>(from: &mut D) -> Result<Self, TakeError> {
        let len = usize::try_from(u64::take(from)?).map_err(|_| TakeError::LimitExceeded)?;
        from.claim_container_read::<T>(len)?;
        let mut items = Vec::with_capacity(len);
        for _ in 0..len {
            from.unclaim_bytes_read(size_of::<T>());
            items.push(T::take(from)?);
        }
        Ok(items)
    }
}

impl Mirror for Value {
    #[inline]
    fn put<E: Encoder>(&self, to: &mut E) -> Result<(), PutError> {
        self.len().put(to)?;
        self.checksum().put(to)
    }
    fn take<'a, D: Decoder<Context = Body<'a>>>(from: &mut D) -> Result<Self, TakeError> {
        let (len, checksum) = (u32::take(from)?, u32::take(from)?);
        let Body { parts, damaged } = from.context();
        // Reads the bytes once: what the link brought is held against what the sender had.
        let value = Value::from_parts(parts.take().unwrap_or_default());
        if (value.len(), value.checksum()) != (len, checksum) {
            **damaged = true;
            return Err(TakeError::Other("the body is not the value"));
        }
        Ok(value)
    }
}

/// Variants with their numbers, which never change.
macro_rules! variants {
    ($type:ident { $($number:literal => $variant:ident $body:tt),* }) => {
        impl Mirror for $type {
            fn put<E: Encoder>(&self, to: &mut E) -> Result<(), PutError> {
                match self { $(variants!(@pattern $type $variant $body) => {
                    let number: u32 = $number;
                    number.put(to)?;
                    variants!(@put to $body);
                })* }
                Ok(())
            }
            fn take<'a, D: Decoder<Context = Body<'a>>>(from: &mut D) -> Result<Self, TakeError> {
                match u32::take(from)? {
                    $($number => variants!(@take from $type $variant $body),)*
                    number => Err(TakeError::UnexpectedVariant {
                        type_name: stringify!($type),
                        allowed: &bincode::error::AllowedEnumVariants::Allowed(&[$($number),*]),
                        found: number,
                    }),
                }
            }
        }
    };
    (@pattern $type:ident $variant:ident ($inner:ident)) => { $type::$variant($inner) };
    (@pattern $type:ident $variant:ident { $($field:ident),* }) => { $type::$variant { $($field),* } };
    (@put $to:ident ($inner:ident)) => { $inner.put($to)? };
    (@put $to:ident { $($field:ident),* }) => {{ $($field.put($to)?;)* }};
    (@take $from:ident $type:ident $variant:ident ($inner:ident)) => {
        Mirror::take($from).map($type::$variant)
    };
    (@take $from:ident $type:ident $variant:ident { $($field:ident),* }) => {{
        $(let $field = Mirror::take($from)?;)*
        Ok($type::$variant { $($field),* })
    }};
}

variants! { Message {
    0 => Heartbeat(message),
    1 => FormAsk(message),
    2 => FormAnswer(message),
    3 => Form(message),
    4 => Prepare(message),
    5 => Promise(message),
    6 => Refuse(message),
    7 => Accept(message),
    8 => Accepted(message),
    9 => BelowChosen(message),
    10 => Fetch(message),
    11 => FetchReply(message),
    12 => Confirm(message),
    13 => Confirmed(message),
    14 => HandOver(message),
    15 => AskIndex(message),
    16 => Index(message)
} }

variants! { FetchWhat {
    0 => Chosen { slots, bytes_max },
    1 => Accepted { slot, ballot }
} }

variants! { FetchAnswer {
    0 => Chosen { slot, ballot, value },
    1 => Accepted { slot, ballot, value },
    2 => End { next, chosen_below },
    3 => Absent { slot, ballot }
} }

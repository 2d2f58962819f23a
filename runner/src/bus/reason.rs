//! The 43 reason codes of MQTT 5 (section 2.4): what each is called, what it means for us, what to do. Pure.

use packhorse_core::failure::Class;
use std::fmt;

/// A packet that carries reason codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Carrier {
    /// Answer to CONNECT (3.2.2.2).
    ConnAck = 1,
    /// Answer to PUBLISH of QoS 1, and PUBREC of QoS 2 (3.4.2.1, 3.5.2.1).
    PubAck = 2,
    /// PUBREL and PUBCOMP (3.6.2.1, 3.7.2.1).
    PubComp = 4,
    /// Answer to SUBSCRIBE (3.9.3).
    SubAck = 8,
    /// Answer to UNSUBSCRIBE (3.11.3).
    UnsubAck = 16,
    /// The broker's last word (3.14.2.1).
    Disconnect = 32,
    /// Extended authentication, which Packhorse does not use (3.15.2.1).
    Auth = 64,
}

const CON: u8 = Carrier::ConnAck as u8;
const PUB: u8 = Carrier::PubAck as u8;
const COMP: u8 = Carrier::PubComp as u8;
const SUB: u8 = Carrier::SubAck as u8;
const UNSUB: u8 = Carrier::UnsubAck as u8;
const DIS: u8 = Carrier::Disconnect as u8;
const AUTH: u8 = Carrier::Auth as u8;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal, $carriers:expr, $class:ident, $advice:literal;)*) => {
        /// A reason code. `Display` gives name and number: `not authorised (0x87)`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "name and advice stand beside each")]
        pub enum Reason {
            $($(#[$doc])* $variant = $code,)*
        }

        impl Reason {
            /// All of them, by number.
            pub const ALL: [Self; 43] = [$(Self::$variant,)*];

            const fn entry(self) -> (&'static str, u8, Class, &'static str) {
                match self {
                    $(Self::$variant => ($name, $carriers, Class::$class, $advice),)*
                }
            }
        }
    };
}

reasons! {
    Success = 0x00, "success", CON | PUB | COMP | SUB | UNSUB | DIS | AUTH, Transient, "";
    GrantedQos1 = 0x01, "granted QoS 1", SUB, Transient, "";
    GrantedQos2 = 0x02, "granted QoS 2", SUB, Transient, "";
    DisconnectWithWill = 0x04, "disconnect with will message", DIS, Transient, "";
    NoMatchingSubscribers = 0x10, "no matching subscribers", PUB, Transient, "";
    NoSubscriptionExisted = 0x11, "no subscription existed", UNSUB, Transient, "";
    ContinueAuthentication = 0x18, "continue authentication", AUTH, Permanent, "the broker wants extended authentication, which is not supported: let it accept user and password or a client certificate";
    ReAuthenticate = 0x19, "re-authenticate", AUTH, Permanent, "the broker wants extended authentication, which is not supported: let it accept user and password or a client certificate";
    Unspecified = 0x80, "unspecified error", CON | PUB | SUB | UNSUB | DIS, Transient, "the broker's log may tell more";
    MalformedPacket = 0x81, "malformed packet", CON | DIS, Transient, "the broker cannot read what was sent: is something between that changes bytes?";
    ProtocolError = 0x82, "protocol error", CON | DIS, Transient, "the broker's log may tell which rule it means";
    ImplementationSpecific = 0x83, "implementation specific error", CON | PUB | SUB | UNSUB | DIS, Transient, "the broker's log may tell more";
    UnsupportedProtocolVersion = 0x84, "unsupported protocol version", CON, Operator, "set mqtt.version to auto or 3.1.1";
    ClientIdentifierNotValid = 0x85, "client identifier not valid", CON, Operator, "set mqtt.client_id to one that the broker accepts";
    BadUserNameOrPassword = 0x86, "bad user name or password", CON, Operator, "check user and password (mqtt.user, mqtt.password_file)";
    NotAuthorized = 0x87, "not authorised", CON | PUB | SUB | UNSUB | DIS, Operator, "let the broker's access list allow it for this user";
    ServerUnavailable = 0x88, "server unavailable", CON, Transient, "it is tried again";
    ServerBusy = 0x89, "server busy", CON | DIS, Transient, "it is tried again";
    Banned = 0x8a, "banned", CON, Operator, "the broker's administrator must lift the ban";
    ServerShuttingDown = 0x8b, "server shutting down", DIS, Transient, "it is tried again";
    BadAuthenticationMethod = 0x8c, "bad authentication method", CON | DIS, Operator, "let the broker accept user and password or a client certificate";
    KeepAliveTimeout = 0x8d, "keep alive timeout", DIS, Transient, "the network or this machine was stuck for longer than the keep-alive";
    SessionTakenOver = 0x8e, "session taken over", DIS, Operator, "another client uses the same client id: give each its own mqtt.client_id";
    TopicFilterInvalid = 0x8f, "topic filter invalid", SUB | UNSUB | DIS, Operator, "the broker accepts no such filter: look at its rules and at the codec's routes and vars";
    TopicNameInvalid = 0x90, "topic name invalid", CON | PUB | DIS, Operator, "the broker accepts no such topic: look at its rules and at the codec's routes and vars";
    PacketIdentifierInUse = 0x91, "packet identifier in use", PUB | SUB | UNSUB, Transient, "it is tried again";
    PacketIdentifierNotFound = 0x92, "packet identifier not found", COMP, Transient, "it is tried again";
    ReceiveMaximumExceeded = 0x93, "receive maximum exceeded", DIS, Transient, "the broker counts messages in flight otherwise than it said; it is tried again";
    TopicAliasInvalid = 0x94, "topic alias invalid", DIS, Transient, "no alias is ever sent: is something between that changes bytes?";
    PacketTooLarge = 0x95, "packet too large", CON | DIS, Operator, "set message_limit lower, or raise the broker's limit (mosquitto: max_packet_size, message_size_limit)";
    MessageRateTooHigh = 0x96, "message rate too high", DIS, Transient, "set rate on the transfers, or raise the broker's limit";
    QuotaExceeded = 0x97, "quota exceeded", CON | PUB | SUB | DIS, Operator, "raise the broker's quota, or use less of it";
    AdministrativeAction = 0x98, "administrative action", DIS, Transient, "somebody at the broker ended the connection; it is tried again";
    PayloadFormatInvalid = 0x99, "payload format invalid", CON | PUB | DIS, Permanent, "the broker judges payloads and refuses the codec's: let it pass them unread";
    RetainNotSupported = 0x9a, "retain not supported", CON | DIS, Permanent, "publish without retain, or let the broker keep retained messages";
    QosNotSupported = 0x9b, "QoS not supported", CON | DIS, Transient, "QoS is lowered to what the broker said; it is tried again";
    UseAnotherServer = 0x9c, "use another server", CON | DIS, Operator, "add the server that it names to the broker's URLs";
    ServerMoved = 0x9d, "server moved", CON | DIS, Operator, "replace the broker's URL by the one that it names";
    SharedSubscriptionsNotSupported = 0x9e, "shared subscriptions not supported", SUB | DIS, Permanent, "none is ever asked for";
    ConnectionRateExceeded = 0x9f, "connection rate exceeded", CON | DIS, Transient, "it is tried again, more slowly";
    MaximumConnectTime = 0xa0, "maximum connect time", DIS, Transient, "the broker ends connections by the clock; a new one is made";
    SubscriptionIdentifiersNotSupported = 0xa1, "subscription identifiers not supported", SUB | DIS, Permanent, "none is ever sent";
    WildcardSubscriptionsNotSupported = 0xa2, "wildcard subscriptions not supported", SUB | DIS, Operator, "let the broker allow wildcards, or use a codec whose routes have none";
}

impl Reason {
    /// By its number.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// By the number in a CONNACK of MQTT 3.1.1 (its section 3.2.2.3).
    pub fn from_v3(code: u8) -> Self {
        match code {
            0 => Self::Success,
            1 => Self::UnsupportedProtocolVersion,
            2 => Self::ClientIdentifierNotValid,
            3 => Self::ServerUnavailable,
            4 => Self::BadUserNameOrPassword,
            5 => Self::NotAuthorized,
            _ => Self::ProtocolError,
        }
    }

    /// Its number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Its name in the standard, in lower case.
    pub const fn name(self) -> &'static str {
        self.entry().0
    }

    /// What it means for whoever met it: waiting helps, a person must act, or nothing helps.
    pub const fn class(self) -> Class {
        self.entry().2
    }

    /// What to do; empty where there is nothing to do.
    pub const fn advice(self) -> &'static str {
        self.entry().3
    }

    /// Whether it says no: 0x80 and above (section 2.4).
    pub const fn is_error(self) -> bool {
        self.code() >= 0x80
    }

    /// Whether the standard lets a broker send it in this packet.
    pub const fn in_packet(self, carrier: Carrier) -> bool {
        self.entry().1 & carrier as u8 != 0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} (0x{:02x})", self.name(), self.code())
    }
}

impl Carrier {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::ConnAck, Self::PubAck, Self::PubComp, Self::SubAck, Self::UnsubAck, Self::Disconnect, Self::Auth];

    /// The section of MQTT 5 that lists its reason codes.
    pub const fn section(self) -> &'static str {
        match self {
            Self::ConnAck => "3.2.2.2",
            Self::PubAck => "3.4.2.1",
            Self::PubComp => "3.7.2.1",
            Self::SubAck => "3.9.3",
            Self::UnsubAck => "3.11.3",
            Self::Disconnect => "3.14.2.1",
            Self::Auth => "3.15.2.1",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reason codes a packet, counted in the tables of the standard (errors and successes; PUBREC is as PUBACK).
    #[test]
    fn each_packet_has_as_many_codes_as_its_table() {
        for (carrier, count) in [
            (Carrier::ConnAck, 22),
            (Carrier::PubAck, 9),
            (Carrier::PubComp, 2),
            (Carrier::SubAck, 12),
            (Carrier::UnsubAck, 7),
            (Carrier::Disconnect, 29),
            (Carrier::Auth, 3),
        ] {
            let codes = Reason::ALL.into_iter().filter(|reason| reason.in_packet(carrier));
            // The table of DISCONNECT leaves 0x8c out, that of section 2.4 has it.
            let extra = usize::from(carrier == Carrier::Disconnect);
            assert_eq!(codes.count(), count + extra, "{carrier:?}, section {}", carrier.section());
        }
    }

    #[test]
    fn numbers_names_and_advice_are_whole() {
        let mut last = None;
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(reason));
            assert!(last < Some(reason.code()), "{reason} comes in order");
            assert!(Carrier::ALL.into_iter().any(|carrier| reason.in_packet(carrier)), "{reason}");
            assert_eq!(reason.advice().is_empty(), reason.code() < 0x18, "{reason}");
            last = Some(reason.code());
        }
        assert_eq!((0..=255).filter_map(Reason::from_code).count(), 43);
        assert_eq!(Reason::NotAuthorized.to_string(), "not authorised (0x87)");
    }
}

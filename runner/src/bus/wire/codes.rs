//! rumqttc's reason codes as ours. A code that rumqttc does not know ends the connection as a broken protocol.

use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, PubAckReason, PubCompReason, PubRecReason, SubscribeReasonCode};

use crate::bus::Reason;

pub(super) fn connack(code: ConnectReturnCode) -> Reason {
    use ConnectReturnCode as Code;
    match code {
        Code::Success => Reason::Success,
        Code::UnspecifiedError => Reason::Unspecified,
        Code::MalformedPacket => Reason::MalformedPacket,
        Code::ProtocolError => Reason::ProtocolError,
        Code::ImplementationSpecificError => Reason::ImplementationSpecific,
        Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => Reason::UnsupportedProtocolVersion,
        Code::BadClientId | Code::ClientIdentifierNotValid => Reason::ClientIdentifierNotValid,
        Code::BadUserNamePassword => Reason::BadUserNameOrPassword,
        Code::NotAuthorized => Reason::NotAuthorized,
        Code::ServiceUnavailable | Code::ServerUnavailable => Reason::ServerUnavailable,
        Code::ServerBusy => Reason::ServerBusy,
        Code::Banned => Reason::Banned,
        Code::BadAuthenticationMethod => Reason::BadAuthenticationMethod,
        Code::TopicNameInvalid => Reason::TopicNameInvalid,
        Code::PacketTooLarge => Reason::PacketTooLarge,
        Code::QuotaExceeded => Reason::QuotaExceeded,
        Code::PayloadFormatInvalid => Reason::PayloadFormatInvalid,
        Code::RetainNotSupported => Reason::RetainNotSupported,
        Code::QoSNotSupported => Reason::QosNotSupported,
        Code::UseAnotherServer => Reason::UseAnotherServer,
        Code::ServerMoved => Reason::ServerMoved,
        Code::ConnectionRateExceeded => Reason::ConnectionRateExceeded,
    }
}

pub(super) fn puback(code: PubAckReason) -> Reason {
    match code {
        PubAckReason::Success => Reason::Success,
        PubAckReason::NoMatchingSubscribers => Reason::NoMatchingSubscribers,
        PubAckReason::UnspecifiedError => Reason::Unspecified,
        PubAckReason::ImplementationSpecificError => Reason::ImplementationSpecific,
        PubAckReason::NotAuthorized => Reason::NotAuthorized,
        PubAckReason::TopicNameInvalid => Reason::TopicNameInvalid,
        PubAckReason::PacketIdentifierInUse => Reason::PacketIdentifierInUse,
        PubAckReason::QuotaExceeded => Reason::QuotaExceeded,
        PubAckReason::PayloadFormatInvalid => Reason::PayloadFormatInvalid,
    }
}

pub(super) fn pubrec(code: PubRecReason) -> Reason {
    match code {
        PubRecReason::Success => Reason::Success,
        PubRecReason::NoMatchingSubscribers => Reason::NoMatchingSubscribers,
        PubRecReason::UnspecifiedError => Reason::Unspecified,
        PubRecReason::ImplementationSpecificError => Reason::ImplementationSpecific,
        PubRecReason::NotAuthorized => Reason::NotAuthorized,
        PubRecReason::TopicNameInvalid => Reason::TopicNameInvalid,
        PubRecReason::PacketIdentifierInUse => Reason::PacketIdentifierInUse,
        PubRecReason::QuotaExceeded => Reason::QuotaExceeded,
        PubRecReason::PayloadFormatInvalid => Reason::PayloadFormatInvalid,
    }
}

pub(super) fn pubcomp(code: PubCompReason) -> Reason {
    match code {
        PubCompReason::Success => Reason::Success,
        PubCompReason::PacketIdentifierNotFound => Reason::PacketIdentifierNotFound,
    }
}

pub(super) fn suback(code: &SubscribeReasonCode) -> Result<(), Reason> {
    Err(match code {
        SubscribeReasonCode::Success(_) => return Ok(()),
        SubscribeReasonCode::Failure | SubscribeReasonCode::Unspecified => Reason::Unspecified,
        SubscribeReasonCode::ImplementationSpecific => Reason::ImplementationSpecific,
        SubscribeReasonCode::NotAuthorized => Reason::NotAuthorized,
        SubscribeReasonCode::TopicFilterInvalid => Reason::TopicFilterInvalid,
        SubscribeReasonCode::PkidInUse => Reason::PacketIdentifierInUse,
        SubscribeReasonCode::QuotaExceeded => Reason::QuotaExceeded,
        SubscribeReasonCode::SharedSubscriptionsNotSupported => Reason::SharedSubscriptionsNotSupported,
        SubscribeReasonCode::SubscriptionIdNotSupported => Reason::SubscriptionIdentifiersNotSupported,
        SubscribeReasonCode::WildcardSubscriptionsNotSupported => Reason::WildcardSubscriptionsNotSupported,
    })
}

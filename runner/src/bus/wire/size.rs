//! Size of a PUBLISH packet.

use crate::bus::Message;

/// Size of the PUBLISH packet in bytes as MQTT 5 lays it out, its fixed header counted at its longest.
pub(in crate::bus) fn packet_size(message: &Message) -> usize {
    const FIXED: usize = 5 + 2 + 2 + 4;
    let properties = message.properties.as_ref().map_or(0, |properties| {
        let text = |text: &str| 3 + text.len();
        properties.response_topic.as_deref().map_or(0, text)
            + properties.content_type.as_deref().map_or(0, text)
            + properties.correlation.as_ref().map_or(0, |bytes| 3 + bytes.len())
            + properties.expiry.map_or(0, |_| 5)
            + properties.user.iter().map(|(name, value)| 5 + name.len() + value.len()).sum::<usize>()
    });
    FIXED + message.topic.len() + properties + message.payload.len()
}

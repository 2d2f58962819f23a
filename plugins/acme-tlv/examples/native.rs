//! The native half of `packhorse plugin bench`.

fn main() {
    packhorse_codec::testing::time::<acme_tlv::AcmePlatform>();
}

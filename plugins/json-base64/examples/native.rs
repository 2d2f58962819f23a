//! The native half of `packhorse plugin bench`.

fn main() {
    packhorse_codec::testing::time::<json_base64::JsonPlatform>();
}

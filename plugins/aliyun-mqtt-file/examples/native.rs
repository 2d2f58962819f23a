//! The native half of `packhorse plugin bench`.

fn main() {
    packhorse_codec::testing::time::<aliyun_mqtt_file::AliyunPlatform>();
}

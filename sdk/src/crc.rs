//! Cyclic redundancy checks by the name that the catalogue of parametrised CRCs gives them.
//!
//! ```
//! use packhorse_codec::crc::{Crc16, crc16};
//!
//! static CHECK: Crc16 = crc16("CRC-16/XMODEM");
//! assert_eq!(CHECK.checksum(b"123456789"), 0x31c3);
//! ```
//!
//! Make them `static`: the tables are then part of the module, shared by all its instances, and a wrong name fails the build.

use ::crc::{Algorithm, Crc, Table};

/// Any 8-bit check.
pub type Crc8 = Crc<u8, Table<16>>;
/// Any 16-bit check.
pub type Crc16 = Crc<u16, Table<16>>;
/// Any 32-bit check.
pub type Crc32 = Crc<u32, Table<16>>;
/// Any 64-bit check.
pub type Crc64 = Crc<u64, Table<16>>;

macro_rules! lookup {
    ($find:ident, $make:ident, $width:ty, $kind:ident, $bits:literal: $($name:ident),* $(,)?) => {
        #[doc = concat!("The parameters of a ", $bits, "-bit check; case and punctuation of the name do not matter.")]
        pub const fn $find(name: &str) -> Option<&'static Algorithm<$width>> {
            $(if same(name.as_bytes(), stringify!($name).as_bytes()) {
                return Some(&::crc::$name);
            })*
            None
        }

        #[doc = concat!("A ", $bits, "-bit check.\n\n# Panics\nWhen the catalogue has no such name: at build time in a `static`.")]
        pub const fn $make(name: &str) -> $kind {
            match $find(name) {
                Some(algorithm) => $kind::new(algorithm),
                None => panic!("the CRC catalogue has no such name"),
            }
        }
    };
}

lookup! { find8, crc8, u8, Crc8, "8":
    CRC_8_AUTOSAR, CRC_8_BLUETOOTH, CRC_8_CDMA2000, CRC_8_DARC, CRC_8_DVB_S2, CRC_8_GSM_A, CRC_8_GSM_B, CRC_8_HITAG,
    CRC_8_I_432_1, CRC_8_I_CODE, CRC_8_LTE, CRC_8_MAXIM_DOW, CRC_8_MIFARE_MAD, CRC_8_NRSC_5, CRC_8_OPENSAFETY,
    CRC_8_ROHC, CRC_8_SAE_J1850, CRC_8_SMBUS, CRC_8_TECH_3250, CRC_8_WCDMA,
}

lookup! { find16, crc16, u16, Crc16, "16":
    CRC_16_ARC, CRC_16_CDMA2000, CRC_16_CMS, CRC_16_DDS_110, CRC_16_DECT_R, CRC_16_DECT_X, CRC_16_DNP,
    CRC_16_EN_13757, CRC_16_GENIBUS, CRC_16_GSM, CRC_16_IBM_3740, CRC_16_IBM_SDLC, CRC_16_ISO_IEC_14443_3_A,
    CRC_16_KERMIT, CRC_16_LJ1200, CRC_16_M17, CRC_16_MAXIM_DOW, CRC_16_MCRF4XX, CRC_16_MODBUS, CRC_16_NRSC_5,
    CRC_16_OPENSAFETY_A, CRC_16_OPENSAFETY_B, CRC_16_PROFIBUS, CRC_16_RIELLO, CRC_16_SPI_FUJITSU, CRC_16_T10_DIF,
    CRC_16_TELEDISK, CRC_16_TMS37157, CRC_16_UMTS, CRC_16_USB, CRC_16_XMODEM,
}

lookup! { find32, crc32, u32, Crc32, "32":
    CRC_32_AIXM, CRC_32_AUTOSAR, CRC_32_BASE91_D, CRC_32_BZIP2, CRC_32_CD_ROM_EDC, CRC_32_CKSUM, CRC_32_ISCSI,
    CRC_32_ISO_HDLC, CRC_32_JAMCRC, CRC_32_MEF, CRC_32_MPEG_2, CRC_32_XFER,
}

lookup! { find64, crc64, u64, Crc64, "64":
    CRC_64_ECMA_182, CRC_64_GO_ISO, CRC_64_MS, CRC_64_NVME, CRC_64_REDIS, CRC_64_WE, CRC_64_XZ,
}

/// Whether the names agree, where `-`, `/`, `_` and the like are one.
const fn same(given: &[u8], known: &[u8]) -> bool {
    if given.len() != known.len() {
        return false;
    }
    let mut at = 0;
    while at < known.len() {
        let character = if given[at].is_ascii_alphanumeric() { given[at].to_ascii_uppercase() } else { b'_' };
        if character != known[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_check_values_hold() {
        assert_eq!(crc8("CRC-8/SMBUS").checksum(b"123456789"), 0xf4);
        assert_eq!(crc16("CRC-16/ARC").checksum(b"123456789"), 0xbb3d);
        assert_eq!(crc16("crc-16/ibm-3740").checksum(b"123456789"), 0x29b1);
        assert_eq!(crc16("CRC-16/ISO-IEC-14443-3-A").checksum(b"123456789"), 0xbf05);
        assert_eq!(crc32("CRC-32/ISO-HDLC").checksum(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc64("CRC-64/XZ").checksum(b"123456789"), 0x995d_c9bb_df19_39fa);
    }

    #[test]
    fn an_unknown_name_is_none() {
        assert!(find16("CRC-16/NONE").is_none());
        assert!(find32("CRC-16/ARC").is_none());
    }
}

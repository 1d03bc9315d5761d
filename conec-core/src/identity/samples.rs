//! Keys that are the same in every test.

use data_encoding::HEXLOWER;
use rustls::pki_types::PrivatePkcs8KeyDer;

/// A key pair as tools write it: the private key in PKCS#8 form, and the SubjectPublicKeyInfo.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    pkcs8: &'static str,
    spki: &'static str,
}

impl Sample {
    pub(super) fn pkcs8(self) -> PrivatePkcs8KeyDer<'static> {
        PrivatePkcs8KeyDer::from(hex(self.pkcs8))
    }

    pub(super) fn spki(self) -> Vec<u8> {
        hex(self.spki)
    }
}

pub(super) fn hex(text: &str) -> Vec<u8> {
    HEXLOWER
        .decode(text.as_bytes())
        .expect("hexadecimal digits")
}

/// RFC 8032, 7.1, test 1.
pub(super) const ED25519: Sample = Sample {
    pkcs8: "302e020100300506032b6570042204209d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    spki: "302a300506032b6570032100d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
};

/// RFC 6979, A.2.5.
pub(super) const P256: Sample = Sample {
    pkcs8: "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721a1440342000460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
    spki: "3059301306072a8648ce3d020106082a8648ce3d0301070342000460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
};

/// RFC 5903, 8.1, the initiator's.
pub(super) const OTHER_P256: Sample = Sample {
    pkcs8: "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433a14403420004dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c37725811805271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
    spki: "3059301306072a8648ce3d020106082a8648ce3d03010703420004dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c37725811805271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3",
};

/// RFC 6979, A.2.6: a key on a curve that Clients cannot have.
pub(super) const P384: Sample = Sample {
    pkcs8: "3081b6020100301006072a8648ce3d020106052b8104002204819e30819b02010104306b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5a16403620004ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc138015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720",
    spki: "3076301006072a8648ce3d020106052b8104002203620004ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc138015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720",
};

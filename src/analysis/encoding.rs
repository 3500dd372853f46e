//! Through what client data was seen: the names that a report gives under `encodings`, and the way
//! from the bytes of an event to the value, outermost first.

macro_rules! encodings {
    ($($(#[$doc:meta])* $name:ident = $word:literal),+ $(,)?) => {
        /// One layer around a value: a container, an encoding or a digest.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Encoding {
            $($(#[$doc])* $name),+
        }

        impl Encoding {
            /// The word used everywhere.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $word),+
                }
            }
        }
    };
}

encodings! {
    /// RFC 1952.
    Gzip = "gzip",
    /// RFC 1950.
    Zlib = "zlib",
    /// RFC 1951 without a frame.
    Deflate = "deflate",
    /// RFC 8878.
    Zstd = "zstd",
    /// RFC 7932.
    Brotli = "brotli",
    /// bzip2(1).
    Bzip2 = "bzip2",
    /// xz(1).
    Xz = "xz",
    /// The LZ4 frame format.
    Lz4 = "lz4",
    /// A member of a ZIP archive.
    Zip = "zip",
    /// A member of a tape archive.
    Tar = "tar",
    /// Rows of an SQLite database.
    Sqlite = "sqlite",
    /// RFC 4648, either alphabet.
    Base64 = "base64",
    /// RFC 4648, either case.
    Base32 = "base32",
    /// Ascii85, Z85 or RFC 1924.
    Base85 = "base85",
    /// Hexadecimal, either case.
    Hex = "hex",
    /// Decimal numbers of bytes, as in lists of JSON and Java.
    Decimal = "decimal",
    /// RFC 3986.
    Percent = "percent",
    /// application/x-www-form-urlencoded: spaces as plus signs.
    Form = "form",
    /// Strings of JSON.
    Json = "json",
    /// Backslashes with `x` or octal numbers, as in C.
    CEscape = "c-escape",
    /// Character references of HTML and XML.
    Html = "html",
    /// RFC 2045.
    QuotedPrintable = "quoted-printable",
    /// Parts of a MIME message or a form.
    Multipart = "multipart",
    /// RFC 9112's chunks.
    Chunked = "chunked",
    /// Masked frames of RFC 6455.
    WebSocket = "websocket",
    /// Two bytes a character, either order.
    Utf16 = "utf-16",
    /// Last character first.
    Reversed = "reversed",
    /// Letters moved by thirteen.
    Rot13 = "rot13",
    /// One byte laid over all.
    Xor = "xor",
    /// A number in binary.
    Integer = "integer",
    /// The bytes that a text of hexadecimal digits stands for.
    Binary = "binary",
    /// RFC 1321.
    Md5 = "md5",
    /// FIPS 180-4.
    Sha1 = "sha1",
    /// FIPS 180-4.
    Sha224 = "sha224",
    /// FIPS 180-4.
    Sha256 = "sha256",
    /// FIPS 180-4.
    Sha384 = "sha384",
    /// FIPS 180-4.
    Sha512 = "sha512",
    /// FIPS 202.
    Sha3256 = "sha3-256",
    /// FIPS 202.
    Sha3384 = "sha3-384",
    /// FIPS 202.
    Sha3512 = "sha3-512",
    /// RFC 7693, 64 bytes.
    Blake2b = "blake2b",
    /// RFC 7693, 32 bytes.
    Blake2s = "blake2s",
    /// The BLAKE3 paper.
    Blake3 = "blake3",
    /// RFC 2104 with what the process had written or received as the key.
    Hmac = "hmac",
    /// With what the process had written or received before or after the value.
    Salted = "salted",
}

/// Layers that one way can have.
const DEEPEST: usize = 8;

/// The layers around a value, outermost first. The fewer, the smaller: a value in the clear is
/// less than any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path {
    depth: u8,
    layers: [Option<Encoding>; DEEPEST],
}

impl Path {
    /// In the clear.
    pub const CLEAR: Self = Self { depth: 0, layers: [None; DEEPEST] };

    /// One layer further in; what is deeper than a path can be is left out.
    #[must_use]
    pub fn and(mut self, layer: Encoding) -> Self {
        if let Some(place) = self.layers.get_mut(usize::from(self.depth)) {
            *place = Some(layer);
            self.depth += 1;
        }
        self
    }

    /// All of another way behind this one.
    #[must_use]
    pub fn then(self, inner: Self) -> Self {
        inner.layers().fold(self, Self::and)
    }

    /// How many layers.
    pub fn depth(self) -> usize {
        usize::from(self.depth)
    }

    /// Compressed, and nothing else around or within.
    pub fn is_compressed(self) -> bool {
        use Encoding::{Brotli, Bzip2, Deflate, Gzip, Lz4, Xz, Zlib, Zstd};
        self.depth() == 1
            && matches!(self.layers().next(), Some(Gzip | Zlib | Deflate | Zstd | Brotli | Bzip2 | Xz | Lz4))
    }

    /// The layers, outermost first.
    pub fn layers(self) -> impl Iterator<Item = Encoding> {
        self.layers.into_iter().flatten()
    }

    /// The words that a report lists.
    pub fn names(self) -> Vec<String> {
        self.layers().map(|layer| layer.name().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_told_outermost_first_and_the_shortest_is_least() {
        let inner = Path::CLEAR.and(Encoding::Hex).and(Encoding::Sha256);
        let way = Path::CLEAR.and(Encoding::Gzip).then(inner);
        assert_eq!(way.names(), ["gzip", "hex", "sha256"]);
        assert!(Path::CLEAR < inner && inner < way);
        let full = (0..20).fold(Path::CLEAR, |path, _| path.and(Encoding::Base64));
        assert_eq!(full.depth(), DEEPEST);
    }
}

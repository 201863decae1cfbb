//! How `--compression` is written.

use paxlog_client::Compression;

/// `none`, `lz4`, `zstd` or `zstd:LEVEL`.
pub(crate) fn parse(text: &str) -> Result<Compression, String> {
    let levels = Compression::ZSTD_LEVELS;
    match text.split_once(':') {
        None => match text {
            "none" => Ok(Compression::None),
            "lz4" => Ok(Compression::Lz4),
            "zstd" => Ok(Compression::Zstd {
                level: Compression::ZSTD_LEVEL_DEFAULT,
            }),
            _ => Err("take none, lz4, zstd or zstd:LEVEL".into()),
        },
        Some(("zstd", level)) => match level.parse() {
            Ok(level) if levels.contains(&level) => Ok(Compression::Zstd { level }),
            _ => Err(format!(
                "the levels of zstd are {} to {}",
                levels.start(),
                levels.end()
            )),
        },
        Some(("none" | "lz4", _)) => Err("only zstd has levels".into()),
        Some(_) => Err("take none, lz4, zstd or zstd:LEVEL".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_name_and_of_zstd_perhaps_a_level() {
        let zstd = |level| Ok(Compression::Zstd { level });
        assert_eq!(parse("none"), Ok(Compression::None));
        assert_eq!(parse("lz4"), Ok(Compression::Lz4));
        assert_eq!(parse("zstd"), zstd(3));
        assert_eq!(parse("zstd:1"), zstd(1));
        assert_eq!(parse("zstd:22"), zstd(22));
        for wrong in [
            "", "LZ4", "gzip", "gzip:3", "lz4:1", "none:", "zstd:", "zstd:0", "zstd:23", "zstd:-1",
            "zstd:x", "zstd:3:3",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

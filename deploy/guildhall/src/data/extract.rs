//! The extract of "The Complete Journey" that is part of the program: one row per basket, store and department.

/// Departments of the source by code, from 0. `UNKNOWN` stands for lines whose product the source does not list.
pub const DEPARTMENTS: [&str; 33] = [
    "UNKNOWN",
    "AUTOMOTIVE",
    "CHARITABLE CONT",
    "CHEF SHOPPE",
    "CNTRL/STORE SUP",
    "COSMETICS",
    "COUPON",
    "DELI",
    "DRUG GM",
    "ELECT &PLUMBING",
    "FLORAL",
    "FROZEN GROCERY",
    "FUEL",
    "GARDEN CENTER",
    "GM MERCH EXP",
    "GROCERY",
    "HOUSEWARES",
    "MEAT",
    "MEAT-PCKGD",
    "MISCELLANEOUS",
    "NUTRITION",
    "PASTRY",
    "PHOTO & VIDEO",
    "POSTAL CENTER",
    "PROD-WHS SALES",
    "PRODUCE",
    "RESTAURANT",
    "SALAD BAR",
    "SEAFOOD",
    "SEAFOOD-PCKGD",
    "SPIRITS",
    "TOYS",
    "TRAVEL & LEISURE",
];

/// The departments that are merchants of the demo, and their names as merchants. COSMETICS comes last: it is the demo's newcomer.
pub const MERCHANT_DEPARTMENTS: [(&str, &str); 9] = [
    ("GROCERY", "grocery"),
    ("DRUG GM", "drug-gm"),
    ("PRODUCE", "produce"),
    ("MEAT-PCKGD", "meat-pckgd"),
    ("MEAT", "meat"),
    ("DELI", "deli"),
    ("PASTRY", "pastry"),
    ("NUTRITION", "nutrition"),
    ("COSMETICS", "cosmetics"),
];

/// The code of a department of the source.
pub fn department_code(name: &str) -> Option<usize> {
    DEPARTMENTS.iter().position(|department| *department == name)
}

/// The extract, a Parquet file. Source and licence stand beside it in `deploy/samples/data`.
pub fn embedded() -> &'static [u8] {
    include_bytes!("../../../samples/data/complete_journey.parquet")
}

/// The SHA-256 of [`embedded`], as recorded beside the file.
pub fn embedded_sha256() -> &'static str {
    let line = include_str!("../../../samples/data/complete_journey.parquet.sha256");
    line.split_whitespace().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_extract_is_the_recorded_one() {
        assert_eq!(guildhall_shared::digest::Digest::of_bytes(embedded()).to_string(), embedded_sha256());
        assert!(embedded().len() <= 3_000_000, "{} bytes", embedded().len());
    }

    #[test]
    fn codes_and_names() {
        assert_eq!(department_code("GROCERY"), Some(15));
        assert!(MERCHANT_DEPARTMENTS.iter().all(|(name, _)| department_code(name).is_some()));
        assert_eq!(department_code("grocery"), None);
        assert!(DEPARTMENTS[1..].is_sorted());
    }
}

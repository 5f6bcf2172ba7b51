//! CSV into a [`Table`]. \[shell\]: reads from what it is given.

use std::io::Read;

use super::error::DataError;
use super::report::{Place, PlaceKind};
use super::table::{Column, Flaw, ROWS_MAX, Table, Texts, Values};

/// Reads a CSV file with a header. A record with another number of fields than the header, or that is not UTF-8, is kept as a flaw.
pub(super) fn read(input: impl Read, file: &str, delimiter: u8) -> Result<Table, DataError> {
    let unreadable = |reason: String| DataError::Unreadable { file: file.into(), reason };
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(input);
    let header = reader.byte_headers().map_err(|e| unreadable(describe(&e)))?.clone();
    if header.is_empty() {
        return Err(unreadable("expected a header line with column names, found an empty file".into()));
    }
    let mut names = Vec::new();
    for name in &header {
        let name = std::str::from_utf8(name).map_err(|_| unreadable("the header is not UTF-8".into()))?;
        names.push(name.trim().to_string());
    }
    let mut columns: Vec<Texts> = names.iter().map(|_| Texts::default()).collect();
    let (mut places, mut flaws) = (vec![], vec![]);
    let mut record = csv::ByteRecord::new();
    let mut number = 0;
    while reader.read_byte_record(&mut record).map_err(|e| unreadable(describe(&e)))? {
        if number >= ROWS_MAX {
            return Err(DataError::TooLarge { file: file.into(), what: "rows", limit: ROWS_MAX });
        }
        let place = Place { record: number, shown: record.position().map_or(0, csv::Position::line) };
        number += 1;
        let fields: Result<Vec<&str>, _> = record.iter().map(std::str::from_utf8).collect();
        match fields {
            _ if record.len() != names.len() => flaws.push((Flaw::FieldCount, place)),
            Err(_) => flaws.push((Flaw::NotUtf8, place)),
            Ok(fields) => {
                columns.iter_mut().zip(fields).for_each(|(column, field)| column.push(field));
                places.push(place);
            }
        }
    }
    let columns = names
        .into_iter()
        .zip(columns)
        .map(|(name, texts)| Column { name, values: Values::Texts(texts) })
        .collect();
    Table::new(file, columns, PlaceKind::Line, places, flaws)
}

/// What went wrong, without what stood there.
fn describe(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Io(e) => e.to_string(),
        _ => "not a CSV file".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::cell::Cell;
    use super::*;

    #[test]
    fn good_rows_are_read_and_bad_ones_are_kept_as_flaws() {
        let bytes = b"\xef\xbb\xbfa, b\n1,x\n2\n3,y,z\n\n\"4\",\"q\nr\"\n\xff,z\n5,\n";
        let table = read(&bytes[..], "t.csv", b',').expect("a table");
        assert_eq!(table.position("a"), Some(0), "the byte order mark is not part of the name");
        assert_eq!(table.position("b"), Some(1));
        assert_eq!(table.rows(), 3);
        assert_eq!(table.records(), 6);
        assert_eq!(table.cell(1, 1), Cell::Text("q\nr"));
        assert_eq!(table.cell(1, 2), Cell::Missing);
        assert_eq!(table.place(2), Place { record: 5, shown: 9 });
        let flaws: Vec<_> =
            table.flaws().iter().map(|(flaw, place)| (*flaw, place.record, place.shown)).collect();
        assert_eq!(flaws, [(Flaw::FieldCount, 1, 3), (Flaw::FieldCount, 2, 4), (Flaw::NotUtf8, 4, 8)]);
    }

    #[test]
    fn files_without_a_usable_header_are_refused() {
        assert!(read(&b""[..], "t.csv", b',').is_err());
        assert!(read(&b"a,a\n1,2\n"[..], "t.csv", b',').is_err());
        assert!(read(&b"\xff,b\n1,2\n"[..], "t.csv", b',').is_err());
    }

    #[test]
    fn another_delimiter() {
        let table = read(&b"a;b\n1;2,5\n"[..], "t.csv", b';').expect("a table");
        assert_eq!(table.cell(1, 0), Cell::Text("2,5"));
    }
}

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArrayType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::super::cell::Cell;
use super::*;

const SCHEMA: &str = "message m {
    required int64 whole;
    optional int32 small;
    optional double real;
    optional float single;
    required boolean flag;
    optional binary word (STRING);
    optional int32 day (DATE);
    optional int64 moment (TIMESTAMP(NANOS, true));
    optional int64 price (DECIMAL(10, 2));
    optional int32 unsigned (INTEGER(32, false));
    optional group list (LIST) { repeated group list { optional int32 element; } }
}";

/// Two row groups of the same three rows; the second row is null wherever it may be.
fn file() -> Vec<u8> {
    let schema = Arc::new(parse_message_type(SCHEMA).expect("a schema"));
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut bytes = vec![];
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).expect("a writer");
    let levels: Option<&[i16]> = Some(&[1, 0, 1]);
    for _ in 0..2 {
        let mut group = writer.next_row_group().expect("a group");
        let mut position = 0;
        while let Some(mut column) = group.next_column().expect("a column") {
            match position {
                0 => column.typed::<Int64Type>().write_batch(&[1, -2, i64::MAX], None, None),
                1 => column.typed::<Int32Type>().write_batch(&[7, -9], levels, None),
                2 => column.typed::<DoubleType>().write_batch(&[0.5, f64::NAN], levels, None),
                3 => column.typed::<FloatType>().write_batch(&[0.25, 1.0], levels, None),
                4 => column.typed::<BoolType>().write_batch(&[true, false, true], None, None),
                5 => column.typed::<ByteArrayType>().write_batch(
                    &["Zürich".into(), vec![0xff].into()],
                    levels,
                    None,
                ),
                6 => column.typed::<Int32Type>().write_batch(&[17_167, -1], levels, None),
                7 => column.typed::<Int64Type>().write_batch(&[1_500, -1], levels, None),
                8 => column.typed::<Int64Type>().write_batch(&[1_250, -5], levels, None),
                9 => column.typed::<Int32Type>().write_batch(&[3, -1], levels, None),
                _ => column.typed::<Int32Type>().write_batch(&[1, 2, 3], Some(&[3, 3, 3]), Some(&[0, 0, 0])),
            }
            .expect("writes");
            column.close().expect("closes");
            position += 1;
        }
        group.close().expect("closes");
    }
    writer.close().expect("closes");
    bytes
}

fn read_bytes(bytes: Vec<u8>) -> Result<Table, DataError> {
    read(InMemory(Box::leak(bytes.into_boxed_slice())), "t.parquet")
}

fn cell<'t>(table: &'t Table, column: &str, row: usize) -> Cell<'t> {
    table.cell(table.position(column).expect("a column"), row)
}

#[test]
fn every_kind_of_column_and_its_nulls() {
    let table = read_bytes(file()).expect("reads");
    assert_eq!((table.rows(), table.records()), (6, 6));
    for base in [0, 3] {
        assert_eq!(cell(&table, "whole", base + 2), Cell::Integer(i64::MAX));
        assert_eq!(cell(&table, "small", base), Cell::Integer(7));
        assert_eq!(cell(&table, "small", base + 2), Cell::Integer(-9));
        assert_eq!(cell(&table, "real", base), Cell::Number(0.5));
        assert_eq!(cell(&table, "real", base + 2).number(), Ok(None), "NaN is a missing number");
        assert_eq!(cell(&table, "single", base), Cell::Number(0.25));
        assert_eq!(cell(&table, "flag", base + 1), Cell::Boolean(false));
        assert_eq!(cell(&table, "word", base), Cell::Text("Zürich"));
        assert_eq!(cell(&table, "day", base), Cell::Day(17_167));
        assert_eq!(cell(&table, "moment", base), Cell::Moment(1));
        assert_eq!(cell(&table, "moment", base + 2), Cell::Moment(-1));
        assert_eq!(cell(&table, "price", base), Cell::Number(12.5));
        assert_eq!(cell(&table, "unsigned", base + 2), Cell::Integer(i64::from(u32::MAX)));
        for nullable in ["small", "real", "single", "word", "day", "moment", "price", "unsigned"] {
            assert_eq!(cell(&table, nullable, base + 1), Cell::Missing, "{nullable}");
        }
    }
    let nested = table.columns().iter().find(|c| c.name.starts_with("list")).expect("listed");
    assert!(matches!(&nested.values, Values::Unreadable(why) if why.contains("nested")));
}

#[test]
fn a_file_and_memory_read_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.parquet");
    std::fs::write(&path, file()).expect("writes");
    let table = Table::read(&path, b',').expect("reads");
    assert_eq!(table.rows(), 6);
    assert_eq!(cell(&table, "word", 3), Cell::Text("Zürich"));
}

#[test]
fn damaged_files_are_refused_or_read_but_never_a_panic() {
    let good = file();
    for length in (0..good.len()).step_by(29) {
        assert!(read_bytes(good[..length].to_vec()).is_err(), "cut to {length} bytes");
    }
    // One flipped byte may or may not be noticed (pages carry no checksum here); it must come back either way.
    for position in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[position] ^= 0x55;
        let _ = read_bytes(bad);
    }
}

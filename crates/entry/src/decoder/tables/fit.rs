//! Does a known structure fit a table map? Counts both ways, types, and names where they are sent.

use towpath_binlog::ColumnKind as K;
use towpath_schema::Table;

/// `Err` says which column does not fit.
pub(super) fn fit(table: &Table, kinds: &[K], names: &[&[u8]]) -> Result<(), String> {
    if table.columns.len() != kinds.len() {
        return Err("the counts differ".to_owned());
    }
    for (index, (column, kind)) in table.columns.iter().zip(kinds).enumerate() {
        if !type_fits(&column.type_text, *kind) {
            return Err(format!(
                "column {} `{}` is {} in the structure and {kind:?} in the binlog",
                index + 1,
                column.name,
                column.type_text
            ));
        }
        if let Some(name) = names.get(index)
            && !String::from_utf8_lossy(name).eq_ignore_ascii_case(&column.name)
            && String::from_utf8_lossy(name).to_lowercase() != column.name.to_lowercase()
        {
            return Err(format!(
                "column {} is `{}` in the structure and `{}` in the binlog",
                index + 1,
                column.name,
                String::from_utf8_lossy(name)
            ));
        }
    }
    Ok(())
}

/// True unless the declared type certainly is stored in another way.
fn type_fits(type_text: &str, kind: K) -> bool {
    let lower = type_text.to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(lower.len());
    let name = lower.get(..end).unwrap_or_default();
    match name {
        "tinyint" | "bool" | "boolean" | "int1" => kind == K::Tiny,
        "smallint" | "int2" => kind == K::Short,
        "mediumint" | "int3" | "middleint" => kind == K::Int24,
        "int" | "integer" | "int4" => kind == K::Long,
        "bigint" | "int8" | "serial" => kind == K::LongLong,
        "float" | "float4" | "double" | "float8" => matches!(kind, K::Float | K::Double),
        "decimal" | "numeric" | "dec" | "fixed" => {
            matches!(kind, K::Decimal { .. } | K::Other { .. })
        }
        "bit" => matches!(kind, K::Bit { .. } | K::Tiny),
        "year" => kind == K::Year,
        "date" => kind == K::Date,
        "time" => matches!(kind, K::Time { .. } | K::OldTime),
        "datetime" => matches!(kind, K::DateTime { .. } | K::OldDateTime),
        "timestamp" => matches!(kind, K::Timestamp { .. } | K::OldTimestamp),
        "enum" => matches!(kind, K::Enum { .. }),
        "set" => matches!(kind, K::Set { .. }),
        "json" => matches!(kind, K::Json { .. } | K::Blob { .. } | K::CompressedBlob { .. }),
        "tinytext" | "text" | "mediumtext" | "longtext" | "tinyblob" | "blob" | "mediumblob"
        | "longblob" => matches!(kind, K::Blob { .. } | K::CompressedBlob { .. }),
        "vector" => matches!(kind, K::Vector { .. } | K::VarChar { .. } | K::Blob { .. }),
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" | "geomcollection" => {
            matches!(kind, K::Geometry { .. } | K::Blob { .. })
        }
        "binary" => matches!(kind, K::Char { .. }),
        "varchar" | "varbinary" => matches!(
            kind,
            K::VarChar { .. } | K::CompressedVarChar { .. } | K::Char { .. } | K::Blob { .. }
        ),
        _ => true,
    }
}

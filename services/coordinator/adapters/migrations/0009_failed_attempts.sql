-- Failed attempts that a person may read of in logs/errors/: written with the attempt's end, kept until they are a file.
create table failed_attempts (
    number integer primary key autoincrement,
    name   text not null check (name <> ''),
    text   text not null
) strict;

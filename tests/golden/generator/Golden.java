import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.zip.CRC32C;

import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.LeaderChangeMessage;
import org.apache.kafka.common.message.SnapshotHeaderRecord;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.DefaultRecordBatch;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.utils.ByteBufferOutputStream;

/**
 * {@code write DIR} makes batches with kafka-clients and leaves them in DIR, one .bin file a topic.
 * {@code dump DIR} reads every .bin file in DIR with kafka-clients, checks CRCs and records, and writes what it read to a
 * .txt file beside it. See ../README.md.
 */
public class Golden {
    private static final long T = 1_700_000_000_000L;
    private static final long NO_APPEND_TIME = RecordBatch.NO_TIMESTAMP;

    public static void main(String[] args) throws IOException {
        Path directory = Path.of(args[1]);
        switch (args[0]) {
            case "write" -> write(directory);
            case "dump" -> dump(directory);
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    // --- write ---

    private static void write(Path directory) throws IOException {
        Files.createDirectories(directory);
        save(directory, "plain", variety(new Batch()), many(new Batch().at(40, 3)));
        save(directory, "log_append_time", variety(new Batch().at(7, 1).appendTime(T + 5_000)));
        save(directory, "idempotent",
            many(new Batch().producer(4_000, (short) 2, 0)),
            many(new Batch().at(100, 0).producer(4_000, (short) 2, 100)),
            variety(new Batch().at(200, 0).producer(Long.MAX_VALUE, Short.MAX_VALUE, Integer.MAX_VALUE - 2)));
        save(directory, "transactional",
            many(new Batch().at(0, 5).transactional(4_001, (short) 0, 0)),
            marker(100, 5, ControlRecordType.COMMIT, 9),
            variety(new Batch().at(101, 6).transactional(4_001, (short) 1, 0)),
            marker(113, 6, ControlRecordType.ABORT, 10));
        save(directory, "control", leaderChange(), snapshotHeader());
        save(directory, "compacted", compacted(), emptied());
        for (String codec : new String[] {"gzip", "snappy", "lz4", "zstd"}) {
            Compression compression = Compression.of(codec).build();
            save(directory, codec,
                variety(new Batch().compressed(compression)),
                text(new Batch().at(12, 0).compressed(compression)),
                noise(new Batch().at(212, 0).compressed(compression).transactional(4_002, (short) 0, 0)));
        }
        // Kafka's other LZ4 and gzip compressors.
        save(directory, "levels",
            text(new Batch().compressed(Compression.lz4().level(17).build())),
            text(new Batch().at(200, 0).compressed(Compression.gzip().level(9).build())));
    }

    /** One batch to be made: what MemoryRecordsBuilder takes in its fourteen arguments. */
    private static final class Batch {
        long baseOffset = 0;
        int leaderEpoch = RecordBatch.NO_PARTITION_LEADER_EPOCH;
        Compression compression = Compression.NONE;
        TimestampType timestampType = TimestampType.CREATE_TIME;
        long appendTime = NO_APPEND_TIME;
        long producerId = RecordBatch.NO_PRODUCER_ID;
        short producerEpoch = RecordBatch.NO_PRODUCER_EPOCH;
        int baseSequence = RecordBatch.NO_SEQUENCE;
        boolean transactional = false;
        long deleteHorizon = RecordBatch.NO_TIMESTAMP;

        Batch at(long baseOffset, int leaderEpoch) {
            this.baseOffset = baseOffset;
            this.leaderEpoch = leaderEpoch;
            return this;
        }

        Batch compressed(Compression compression) {
            this.compression = compression;
            return this;
        }

        Batch appendTime(long appendTime) {
            this.timestampType = TimestampType.LOG_APPEND_TIME;
            this.appendTime = appendTime;
            return this;
        }

        Batch producer(long id, short epoch, int baseSequence) {
            this.producerId = id;
            this.producerEpoch = epoch;
            this.baseSequence = baseSequence;
            return this;
        }

        Batch transactional(long id, short epoch, int baseSequence) {
            this.transactional = true;
            return producer(id, epoch, baseSequence);
        }

        Batch deleteHorizon(long deleteHorizon) {
            this.deleteHorizon = deleteHorizon;
            return this;
        }

        MemoryRecordsBuilder open() {
            return new MemoryRecordsBuilder(new ByteBufferOutputStream(1 << 10), RecordBatch.CURRENT_MAGIC_VALUE,
                compression, timestampType, baseOffset, appendTime, producerId, producerEpoch, baseSequence,
                transactional, false, leaderEpoch, 1 << 20, deleteHorizon);
        }
    }

    /** Twelve records: every kind of key, value, header and timestamp. */
    private static ByteBuffer variety(Batch batch) {
        MemoryRecordsBuilder builder = batch.open();
        builder.append(T, bytes("key"), bytes("value"));
        builder.append(T + 1, null, bytes("no key"));
        builder.append(T + 1, bytes("no value"), null);
        builder.append(T - 1, (byte[]) null, (byte[]) null);
        builder.append(T, bytes(""), bytes(""));
        builder.append(T + 86_400_000L * 365, bytes("a year later"), bytes("x"));
        builder.append(0, bytes("1970"), bytes("x"));
        builder.append(T, bytes("k"), bytes("one header"), headers("trace-id", "abc"));
        builder.append(T, (byte[]) null, null, headers("a", "1", "a", "2", "a", null, "", "", "größe", "5 µm"));
        builder.append(T, bytes("k"), IntStream.range(0, 300).mapToObj(i -> "v").collect(Collectors.joining()).getBytes());
        builder.append(T, bytes("k".repeat(64)), bytes("v".repeat(63)), headers("h".repeat(64), "w".repeat(8_192)));
        builder.append(T + 2, new byte[] {0, (byte) 0xff, (byte) 0x80}, new byte[] {(byte) 0xc3, 0x28});
        return builder.build().buffer();
    }

    /** A hundred small records, so that offset deltas outgrow one byte. */
    private static ByteBuffer many(Batch batch) {
        MemoryRecordsBuilder builder = batch.open();
        for (int i = 0; i < 100; i++)
            builder.append(T + i * 7, bytes("key-" + i % 10), bytes("value-" + i));
        return builder.build().buffer();
    }

    /** Two hundred records of text: in all more than a codec's block. */
    private static ByteBuffer text(Batch batch) {
        MemoryRecordsBuilder builder = batch.open();
        String[] words = "the quick brown fox jumps over the lazy dog while seven wizards box".split(" ");
        Random random = new Random(1);
        for (int i = 0; i < 200; i++) {
            String word = words[random.nextInt(words.length)];
            builder.append(T + i, bytes(word), bytes((word + " ").repeat(640 / (word.length() + 1))));
        }
        return builder.build().buffer();
    }

    /** Bytes that no codec makes smaller. */
    private static ByteBuffer noise(Batch batch) {
        MemoryRecordsBuilder builder = batch.open();
        byte[] value = new byte[500];
        new Random(2).nextBytes(value);
        builder.append(T, null, value);
        return builder.build().buffer();
    }

    private static ByteBuffer marker(long offset, int leaderEpoch, ControlRecordType type, int coordinatorEpoch) {
        return MemoryRecords.withEndTransactionMarker(offset, T + offset, leaderEpoch, 4_001, (short) 1,
            new EndTransactionMarker(type, coordinatorEpoch)).buffer();
    }

    private static ByteBuffer leaderChange() {
        return MemoryRecords.withLeaderChangeMessage(0, T, 1, ByteBuffer.allocate(256),
            new LeaderChangeMessage().setLeaderId(1)).buffer();
    }

    private static ByteBuffer snapshotHeader() {
        return MemoryRecords.withSnapshotHeaderRecord(1, T, 1, ByteBuffer.allocate(256),
            new SnapshotHeaderRecord().setLastContainedLogTimestamp(T)).buffer();
    }

    /** What compaction leaves: gaps between offsets and at the end, and a delete horizon for the base timestamp. */
    private static ByteBuffer compacted() {
        MemoryRecordsBuilder builder = new Batch().at(10, 2).deleteHorizon(T + 1_000_000).open();
        builder.appendWithOffset(10, T, bytes("a"), null);
        builder.appendWithOffset(13, T + 1, bytes("b"), bytes("x"));
        builder.appendWithOffset(19, T + 2, bytes("c"), bytes("y"));
        builder.overrideLastOffset(25);
        return builder.build().buffer();
    }

    /** What compaction leaves of a producer's last batch when none of its records survives. */
    private static ByteBuffer emptied() {
        ByteBuffer buffer = ByteBuffer.allocate(DefaultRecordBatch.RECORD_BATCH_OVERHEAD);
        DefaultRecordBatch.writeEmptyHeader(buffer, RecordBatch.CURRENT_MAGIC_VALUE, 4_000, (short) 2, 30, 26, 35, 2,
            TimestampType.CREATE_TIME, T, false, false);
        buffer.flip();
        return buffer;
    }

    private static Header[] headers(String... keysAndValues) {
        Header[] headers = new Header[keysAndValues.length / 2];
        for (int i = 0; i < headers.length; i++)
            headers[i] = new RecordHeader(keysAndValues[2 * i], bytes(keysAndValues[2 * i + 1]));
        return headers;
    }

    private static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }

    private static void save(Path directory, String name, ByteBuffer... batches) throws IOException {
        ByteBuffer all = ByteBuffer.allocate(Arrays.stream(batches).mapToInt(ByteBuffer::remaining).sum());
        Arrays.stream(batches).forEach(all::put);
        Files.write(directory.resolve(name + ".bin"), all.array());
    }

    // --- dump ---

    private static void dump(Path directory) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            for (Path file : files.filter(path -> path.toString().endsWith(".bin")).sorted().toList()) {
                Path text = Path.of(file.toString().replaceAll("bin$", "txt"));
                try (PrintStream out = new PrintStream(text.toFile(), StandardCharsets.UTF_8)) {
                    dump(Files.readAllBytes(file), out);
                }
            }
        }
    }

    private static void dump(byte[] bytes, PrintStream out) {
        MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(bytes));
        int read = 0;
        for (MutableRecordBatch batch : records.batches()) {
            batch.ensureValid();
            out.printf("batch offsets %d to %d, epoch %d, crc %08x, %s, %s, base timestamp %d, max timestamp %d, "
                    + "producer %d epoch %d sequence %d to %d, transactional %b, control %b, horizon %s, "
                    + "%d records in %d bytes\n",
                batch.baseOffset(), batch.lastOffset(), batch.partitionLeaderEpoch(), batch.checksum(),
                batch.compressionType().name, batch.timestampType().name, ((DefaultRecordBatch) batch).baseTimestamp(),
                batch.maxTimestamp(), batch.producerId(), batch.producerEpoch(), batch.baseSequence(),
                batch.lastSequence(), batch.isTransactional(), batch.isControlBatch(),
                batch.deleteHorizonMs().isPresent() ? "" + batch.deleteHorizonMs().getAsLong() : "none",
                batch.countOrNull(), batch.sizeInBytes());
            for (Record record : batch) {
                record.ensureValid();
                out.printf("  %d at %d: %s = %s%s%s\n", record.offset(), record.timestamp(), show(record.key()),
                    show(record.value()), control(batch, record), show(record.headers()));
            }
            read += batch.sizeInBytes();
        }
        if (read != bytes.length)
            throw new IllegalStateException("read " + read + " of " + bytes.length + " bytes");
    }

    private static String control(RecordBatch batch, Record record) {
        if (!batch.isControlBatch())
            return "";
        ControlRecordType type = ControlRecordType.parse(record.key());
        return switch (type) {
            case ABORT, COMMIT -> ", " + type.name().toLowerCase() + " by epoch "
                + EndTransactionMarker.deserialize(record).coordinatorEpoch();
            default -> ", control type " + type.type();
        };
    }

    private static String show(Header[] headers) {
        return Arrays.stream(headers)
            .map(header -> ", " + show(ByteBuffer.wrap(bytes(header.key()))) + ": "
                + show(header.value() == null ? null : ByteBuffer.wrap(header.value())))
            .collect(Collectors.joining());
    }

    private static String show(ByteBuffer buffer) {
        if (buffer == null)
            return "null";
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        if (bytes.length <= 16)
            return "[" + HexFormat.of().formatHex(bytes) + "]";
        CRC32C crc = new CRC32C();
        crc.update(bytes);
        return String.format("[%d bytes, crc %08x]", bytes.length, crc.getValue());
    }
}

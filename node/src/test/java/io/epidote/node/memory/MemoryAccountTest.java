package io.epidote.node.memory;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.ModelMemory;
import io.epidote.node.ResidentMemory;
import io.epidote.proto.v1.MemoryUse;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import org.assertj.core.data.Percentage;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** Of this very process. */
@EnabledOnOs(OS.LINUX)
class MemoryAccountTest {
  @TempDir Path folder;

  private static long bytes(List<MemoryUse> uses, String kind) {
    return uses.stream()
        .filter(use -> use.getKind().equals(kind))
        .mapToLong(MemoryUse::getBytes)
        .sum();
  }

  @Test
  void aPoolTakesThePagesThatWereWritten() {
    BlockPool kv = new BlockPool("kv", 2, 1 << 20, 64);
    MemoryAccount.Holdings holdings =
        new MemoryAccount.Holdings(List.of(kv), 0, List.of(), List.of());
    long before = bytes(MemoryAccount.measure(holdings), "kv");
    for (int id : kv.tryAllocate(5).orElseThrow()) {
      for (int plane = 0; plane < 2; plane++) {
        kv.plane(plane).asSlice((long) id << 20, 1 << 20).fill((byte) 1);
      }
    }
    assertThat(before).isLessThan(64 << 10);
    assertThat(bytes(MemoryAccount.measure(holdings), "kv") - before)
        .isBetween(10L << 20, (10L << 20) + (64 << 10));
  }

  @Test
  void mappedWeightsAreTheirFiles() throws Exception {
    Path file = Files.write(folder.resolve("weights.bin"), new byte[3 << 20]);
    MemoryAccount.Holdings holdings =
        new MemoryAccount.Holdings(
            List.of(), 0, List.of(), List.of(new ModelMemory(file.toString(), 0, 0)));
    assertThat(bytes(MemoryAccount.measure(holdings), "weights_mapped")).isZero();
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
      var mapped = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size());
      mapped.load();
      assertThat(bytes(MemoryAccount.measure(holdings), "weights_mapped")).isEqualTo(3 << 20);
      assertThat(mapped.get(1 << 20)).isZero();
    }
  }

  @Test
  void theKindsSumToTheResidentMemory() {
    MemoryAccount.Holdings holdings =
        new MemoryAccount.Holdings(
            List.of(), 0, List.of(), List.of(new ModelMemory("", Long.MAX_VALUE / 2, 0)));
    // The first one loads classes, which takes memory.
    MemoryAccount.measure(holdings);
    List<MemoryUse> uses = MemoryAccount.measure(holdings);
    assertThat(uses.stream().mapToLong(MemoryUse::getBytes).sum())
        .isCloseTo(ResidentMemory.bytes(), Percentage.withPercentage(10));
    // Nobody can have more than there is.
    assertThat(bytes(uses, "rest")).isZero();
    assertThat(uses).allSatisfy(use -> assertThat(use.getBytes()).isNotNegative());
  }

  @Test
  void everyCollectorsHeapIsFound() {
    assertThat(
            HeapRange.parse(
                " def new generation   total 39K, used 1K [0x00000000c0000000, 0x00000000c2a0, 0x00000000d5550000)\n"
                    + " tenured generation   total 87K, used 0K [0x00000000d5550000, 0x00000000d5aa, 0x0000000100000000)"))
        .isEqualTo(new HeapRange(0xc0000000L, 0x100000000L));
    assertThat(
            HeapRange.parse(
                " garbage-first heap   total 65K, used 1K [0x00000000c0000000, 0x0000000100000000)"))
        .isEqualTo(new HeapRange(0xc0000000L, 0x100000000L));
    assertThat(HeapRange.parse("nothing")).isEqualTo(new HeapRange(0, 0));
    assertThat(HeapRange.read().end()).isPositive();
  }

  @Test
  void mappingsAreRead() {
    assertThat(
            Mapping.parse(
                List.of(
                    "7f00-8000 r-xp 00000000 08:01 42    /opt/with space/lib.so",
                    "Size:     1 kB",
                    "Rss:      12 kB",
                    "Pss:       4 kB",
                    "Pss_Dirty: 0 kB",
                    "VmFlags: rd ex",
                    "9000-a000 rw-p 00000000 00:00 0     [heap]",
                    "Rss:       8 kB",
                    "Pss:       8 kB")))
        .containsExactly(
            new Mapping(0x7f00, 0x8000, true, "/opt/with space/lib.so", 12 << 10, 4 << 10),
            new Mapping(0x9000, 0xa000, false, "", 8 << 10, 8 << 10));
  }
}

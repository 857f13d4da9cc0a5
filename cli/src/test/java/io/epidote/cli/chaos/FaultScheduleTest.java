package io.epidote.cli.chaos;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class FaultScheduleTest {
  private static final Map<String, List<String>> NODES = new LinkedHashMap<>();

  static {
    NODES.put("encode-0", List.of("encode"));
    NODES.put("prefill-0", List.of("prefill"));
    NODES.put("decode-0", List.of("decode"));
    NODES.put("decode-1", List.of("decode"));
  }

  private static List<Fault> plan(String words, int seconds, long seed) {
    return FaultSchedule.plan(words, NODES, Duration.ofSeconds(seconds), seed);
  }

  @Test
  void theSameSeedGivesTheSameScheduleAndAnotherOneAnother() {
    for (String name : FaultSchedule.names()) {
      assertThat(plan(name, 60, 3)).isEqualTo(plan(name, 60, 3));
      assertThat(plan(name, 60, 3).isEmpty()).as(name).isEqualTo(name.equals("none"));
    }
    assertThat(List.of(plan("kills", 60, 2), plan("kills", 60, 3), plan("kills", 60, 4)))
        .anyMatch(other -> !other.equals(plan("kills", 60, 1)));
  }

  @Test
  void faultsComeAgainUntilTheEndAndNodesOfAStageTakeTurns() {
    List<Fault> faults = plan("kill:decode@5s/every=10s", 30, 1);
    assertThat(faults)
        .extracting(Fault::at)
        .containsExactly(Duration.ofSeconds(5), Duration.ofSeconds(15), Duration.ofSeconds(25));
    assertThat(faults.get(0).targets()).hasSize(1).isNotEqualTo(faults.get(1).targets());
    assertThat(faults.get(2).targets()).isEqualTo(faults.get(0).targets());
  }

  @Test
  void targetsAreNodesStagesPairsAndAll() {
    assertThat(plan("stage:decode@1s", 9, 1).getFirst().targets())
        .containsExactly("decode-0", "decode-1");
    Fault pair = plan("partition:router~decode*@1s/for=4s", 9, 1).getFirst();
    assertThat(pair.targets()).containsExactly("router");
    assertThat(pair.peers()).containsExactly("decode-0", "decode-1");
    assertThat(pair.lasts()).isEqualTo(Duration.ofSeconds(4));
    Fault loss = plan("loss:5%", 9, 1).getFirst();
    assertThat(loss.targets()).isEmpty();
    assertThat(loss.amount()).isEqualTo(0.05);
    assertThat(plan("delay:200ms@4s", 9, 1).getFirst().lasts()).isEqualTo(Duration.ofSeconds(5));
  }

  @Test
  void whatIsTakenFromAMachineIsGivenBack() {
    Fault disk = plan("disk:decode-1@1s", 9, 1).getFirst();
    assertThat(disk.lasts()).isPositive();
    assertThat(disk.targets()).containsExactly("decode-1");
    Fault memory = plan("memory:encode@1s/for=2s/by=70%", 9, 1).getFirst();
    assertThat(memory.amount()).isEqualTo(0.7);
    assertThat(memory.lasts()).isEqualTo(Duration.ofSeconds(2));
    assertThat(memory).asString().contains("70.0 % of its own");
    assertThatThrownBy(() -> plan("disk:decode/by=5%", 9, 1)).isInstanceOf(InvalidRequest.class);
  }

  @Test
  void whatIsWrongIsNamed() {
    assertThatThrownBy(() -> plan("burn:decode", 9, 1))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("'burn'")
        .hasMessageContaining("partition");
    assertThatThrownBy(() -> plan("kill:gpu-7", 9, 1))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("gpu-7")
        .hasMessageContaining("decode-1");
    assertThatThrownBy(() -> plan("kill:a~b", 9, 1)).isInstanceOf(InvalidRequest.class);
    assertThatThrownBy(() -> plan("kill:decode/for=5x", 9, 1)).isInstanceOf(InvalidRequest.class);
    assertThatThrownBy(() -> plan("kill:decode/by=5%", 9, 1)).isInstanceOf(InvalidRequest.class);
  }
}

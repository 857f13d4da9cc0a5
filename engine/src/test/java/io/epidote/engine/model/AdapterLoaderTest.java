package io.epidote.engine.model;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.engine.checkpoint.AdapterFixture;
import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.checkpoint.DType;
import io.epidote.engine.checkpoint.SafetensorsWriter;
import io.epidote.engine.checkpoint.SafetensorsWriter.Tensor;
import io.epidote.engine.checkpoint.TensorNames;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.kernel.ExpertSlots;
import io.epidote.engine.tier.AdapterTiers;
import io.epidote.engine.tier.AdapterUse;
import io.epidote.engine.tier.Tier;
import io.epidote.engine.tier.TierBudget;
import io.epidote.engine.tier.UseProbability;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** What is loaded takes what it holds; what does not fit is told, and nothing has changed. */
class AdapterLoaderTest {
  private static final Map<Integer, List<Integer>> EXPERTS =
      Map.of(0, List.of(1), 1, List.of(0, 2));
  private static final String EXPERT = "model.layers.1.block_sparse_moe.experts.";
  private static final List<String> TARGETS = List.of("q_proj", "v_proj");

  @TempDir Path folder;
  private final ExpertSlots slots = new ExpertSlots(CheckpointFixture.LAYERS, 4);

  private Adapters adapters(Form form, Precision precision) {
    try (Checkpoint checkpoint =
        Checkpoint.open(CheckpointFixture.write(form, folder.resolve(form.name()), 1))) {
      AdapterLoader.Base base =
          new AdapterLoader.Base(
              checkpoint.config().text(), TensorNames.of(checkpoint).text(), precision);
      return new Adapters(new AdapterLoader(base, slots, folder.resolve("cache")), Runnable::run);
    }
  }

  @Test
  void residentBytesAreThoseOfTheAdaptersExperts() {
    Adapters adapters = adapters(Form.MIXTRAL, Precision.INT8);
    // Three experts of 64 x 96 and 48 x 64 bytes, with eight bytes for each column.
    long exact = 3 * (3 * 64 * 48 + 8 * (2 * 48 + 64));
    LoadedAdapter loaded = adapters.load("a", esft(config -> {}, tensors -> tensors), false);
    assertThat(loaded.bytes()).isBetween(exact, exact * 102 / 100);
    assertThat(loaded.kind()).isEqualTo("esft");
    assertThat(slots.lent()).isEqualTo(3);
  }

  @Test
  void whatIsHeldTakesItsPlaceAgainOrIsFreed() {
    Adapters adapters = adapters(Form.MIXTRAL, Precision.FP32);
    Path first = AdapterFixture.esft(folder.resolve("e1"), Form.MIXTRAL, EXPERTS, 20);
    Path second =
        AdapterFixture.esft(folder.resolve("e2"), Form.MIXTRAL, Map.of(1, List.of(3)), 21);
    LoadedAdapter before = adapters.load("a", first, false);
    LoadedAdapter after = adapters.load("a", second, true, true);
    assertThat(slots.lent()).isEqualTo(4);
    LoadedAdapter running = adapters.take("a");
    assertThat(running).isSameAs(after);
    adapters.settle("a", "another digest", false);
    assertThat(adapters.list()).containsExactly(after);

    // Taken back: who runs on it finishes on it.
    adapters.settle("a", after.digest(), false);
    assertThat(adapters.list()).containsExactly(before);
    assertThat(slots.lent()).isEqualTo(4);
    adapters.give(running);
    assertThat(slots.lent()).isEqualTo(3);

    // Kept: what it replaced is freed.
    adapters.settle("a", adapters.load("a", second, true, true).digest(), true);
    assertThat(slots.lent()).isEqualTo(1);
    adapters.settle("a", after.digest(), false);
    assertThat(adapters.list()).hasSize(1);

    // Of a name that was new, nothing is left; and what is never settled goes with the name.
    adapters.settle("b", adapters.load("b", first, false, true).digest(), false);
    assertThat(adapters.list()).hasSize(1);
    adapters.load("a", first, true, true);
    adapters.load("a", second, true, true);
    assertThat(slots.lent()).isEqualTo(4);
    adapters.unload("a");
    assertThat(slots.lent()).isZero();
  }

  @Test
  void noOrderOfLoadsAndUnloadsLeaksASlot() {
    Adapters adapters = adapters(Form.MIXTRAL, Precision.FP32);
    List<Path> folders = new ArrayList<>();
    int[] sizes = {3, 1, 4};
    List<Map<Integer, List<Integer>>> experts =
        List.of(EXPERTS, Map.of(1, List.of(3)), Map.of(0, List.of(0, 1, 2, 3)));
    for (int i = 0; i < sizes.length; i++) {
      folders.add(
          AdapterFixture.esft(folder.resolve("e" + i), Form.MIXTRAL, experts.get(i), 20 + i));
    }
    Random random = new Random(5);
    int[] loaded = new int[6];
    Arrays.fill(loaded, -1);
    List<LoadedAdapter> taken = new ArrayList<>();
    List<Integer> takenSizes = new ArrayList<>();
    int most = 0;
    for (int i = 0; i < 400; i++) {
      int at = random.nextInt(loaded.length);
      String name = "a" + at;
      int which = random.nextInt(sizes.length);
      switch (random.nextInt(4)) {
        case 0 -> {
          adapters.load(name, folders.get(which), true);
          loaded[at] = which;
        }
        case 1 -> {
          if (loaded[at] >= 0) {
            adapters.unload(name);
            loaded[at] = -1;
          }
        }
        case 2 -> {
          if (loaded[at] >= 0) {
            taken.add(adapters.take(name));
            takenSizes.add(sizes[loaded[at]]);
          }
        }
        default -> {
          if (!taken.isEmpty()) {
            int one = random.nextInt(taken.size());
            adapters.give(taken.remove(one));
            takenSizes.remove(one);
          }
        }
      }
      // Those in use and retired have theirs beside those that are loaded.
      int current =
          adapters.list().stream().mapToInt(a -> sizes[loaded[a.name().charAt(1) - '0']]).sum();
      int retired = 0;
      for (LoadedAdapter one : taken.stream().distinct().toList()) {
        if (!adapters.list().contains(one)) {
          retired += takenSizes.get(taken.indexOf(one));
        }
      }
      assertThat(slots.lent()).isEqualTo(current + retired);
      most = Math.max(most, slots.lent());
    }
    taken.forEach(adapters::give);
    adapters.close();
    assertThat(slots.lent()).isZero();
    assertThat(slots.count(0) + slots.count(1)).isLessThanOrEqualTo(2 * 4 + 2 * most);
  }

  @Test
  void expertsThatDoNotFitTheBaseAreTold() {
    refused(esft(c -> layer(c, "2", 0), all()), "layer 2", "layers with experts are 0 to 1");
    refused(esft(c -> layer(c, "1", 4), all()), "expert 4 of layer 1", "experts 0 to 3");
    refused(esft(c -> layer(c, "1", -1), all()), "expert_cfg.json: experts.1 is [0,2,-1]");
    refused(esft(c -> layer(c, "1", 2), all()), "each expert once, not 2 twice");
    refused(esft(c -> layer(c, "one", 0), all()), "a layer's number as its key");
    refused(esft(c -> c.put("shared_experts", true), all()), "shared_experts = true");
    refused(esft(c -> c.put("non_expert_modules", true), all()), "non_expert_modules = true");
    refused(esft(c -> c.put("router", 1), all()), "router is 1", "one of the keys");
    refused(esft(c -> c.remove("experts"), all()), "experts");
    refused(esft(c -> c.putObject("experts"), all()), "at least one expert");
    refused(esft(c -> c.put("experts", "all"), all()), "experts is \"all\", expected an object");
  }

  @Test
  void expertsTensorsThatAreNotAsNamedAreTold() {
    refused(esft(any(), without(EXPERT + "2.w1.weight")), EXPERT + "2.w1.weight is missing");
    refused(
        esft(any(), with("model.layers.0.self_attn.q_proj.weight", 64, 64)),
        "model.layers.0.self_attn.q_proj.weight is not expected");
    refused(
        esft(any(), with(EXPERT + "3.w1.weight", 48, 64)), EXPERT + "3.w1.weight is not expected");
    refused(
        esft(any(), with(EXPERT + "2.w1.weight", 64, 48)),
        "has shape [64, 48], but the base makes it [48, 64]");
  }

  @Test
  void filesThatAreNotWholeAreTold() throws IOException {
    Path adapter = esft(any(), all());
    Path weights = adapter.resolve("adapter.safetensors");
    byte[] whole = Files.readAllBytes(weights);
    for (int length : new int[] {0, 5, 300, whole.length - 1}) {
      Files.write(weights, Arrays.copyOf(whole, length));
      refused(adapter, "truncated");
    }
    Files.write(weights, new byte[64]);
    refused(adapter, "is not a safetensors file");
    Files.write(weights, whole);
    Files.write(adapter.resolve("again.safetensors"), whole);
    refused(adapter, "is also in");
    Files.delete(adapter.resolve("again.safetensors"));
    Files.delete(weights);
    refused(adapter, "has no weights");
    Files.writeString(
        adapter.resolve("expert_cfg.json"), "{\"experts\": {\"1\": [0], \"1\": [2]}}");
    refused(adapter, "Duplicate field '1'");
    Files.writeString(adapter.resolve("expert_cfg.json"), "{\"experts\": {");
    refused(adapter, "is not JSON");
    Files.writeString(adapter.resolve("adapter_config.json"), "{}");
    refused(adapter, "both configs");
    refused(folder.resolve("nowhere"), "has not been found");
    refused(Files.createDirectory(folder.resolve("empty")), "no adapter's config");
  }

  @Test
  void valuesThatAreNoNumbersAreTold() {
    refused(
        esft(
            any(),
            tensors -> {
              requireNonNull(tensors.get(EXPERT + "2.w2.weight")).values()[7] = Float.NaN;
              return tensors;
            }),
        EXPERT + "2.w2.weight has the value NaN");
    // What is left of the packed file is nothing.
    assertThat(folder.resolve("cache/adapters")).isEmptyDirectory();
  }

  @Test
  void weightsOfIntegersAreTold() throws IOException {
    Path adapter = esft(any(), all());
    Path weights = adapter.resolve("adapter.safetensors");
    String text = Files.readString(weights, StandardCharsets.ISO_8859_1);
    Files.writeString(weights, text.replace("F32", "I32"), StandardCharsets.ISO_8859_1);
    refused(adapter, "is of I32, expected F32, F16 or BF16");
  }

  @Test
  void aDenseBaseHasNoExpertsToReplace() {
    assertThatThrownBy(
            () -> adapters(Form.LLAMA_TIED, Precision.FP32).load("a", esft(any(), all()), false))
        .isInstanceOf(BadCheckpoint.class)
        .hasMessageContaining("the base is dense");
  }

  @Test
  void int4AndImpossibleNamesAreRefused() {
    Path adapter = esft(any(), all());
    assertThatThrownBy(() -> adapters(Form.MIXTRAL, Precision.INT4).load("a", adapter, false))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("int4");
    for (String name : new String[] {"", "a:b", "../x", "auto", "x".repeat(65)}) {
      assertThatThrownBy(() -> adapters(Form.MIXTRAL, Precision.FP32).load(name, adapter, false))
          .isInstanceOf(InvalidRequest.class)
          .hasMessageContaining("cannot be an adapter's name");
    }
  }

  @Test
  void lowRankAdaptersThatDoNotFitAreTold() {
    refused(lora(c -> c.put("peft_type", "IA3"), all()), "peft_type = \"IA3\"");
    refused(lora(c -> c.put("bias", "all"), all()), "bias = \"all\"", "none");
    refused(lora(c -> c.put("use_dora", true), all()), "use_dora = true");
    refused(lora(c -> c.putObject("rank_pattern").put("q_proj", 4), all()), "rank_pattern");
    refused(lora(c -> c.putArray("modules_to_save").add("lm_head"), all()), "modules_to_save");
    refused(lora(c -> c.put("init_lora_weights", "pissa"), all()), "init_lora_weights");
    refused(lora(c -> c.put("r", 0), all()), "r is 0");
    refused(lora(c -> c.put("r", 4), all()), "has shape [8, 64], but the base makes it [4, 64]");
    refused(lora(c -> c.put("lora_alpha", "two"), all()), "lora_alpha");
    refused(
        lora(c -> c.withArray("target_modules").add("lm_head"), all()),
        "target_modules has lm_head",
        "k_proj, o_proj, q_proj, v_proj, w1");
    refused(lora(c -> c.withArray("target_modules").add("k_proj"), all()), "k_proj", "missing");
    refused(
        lora(c -> c.putArray("layers_to_transform").add(7), all()),
        "layer 7, but the base has layers 0 to 1");
    refused(
        lora(c -> c.putArray("layers_to_transform").add(0), all()),
        "layers.1.self_attn.q_proj.lora_A.weight",
        "is not expected");
    refused(
        lora(any(), without("base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight")),
        "v_proj.lora_B.weight is missing");
    refused(
        lora(any(), with("base_model.model.lm_head.lora_A.weight", 8, 64)),
        "lm_head.lora_A.weight is not expected");
  }

  private void refused(Path adapter, String... told) {
    Adapters adapters = adapters(Form.MIXTRAL, Precision.INT8);
    assertThatThrownBy(() -> adapters.load("a", adapter, false))
        .isInstanceOf(BadCheckpoint.class)
        .message()
        .contains(told);
    assertThat(adapters.list()).isEmpty();
    assertThat(slots.lent()).isZero();
  }

  private static Consumer<ObjectNode> any() {
    return config -> {};
  }

  private static UnaryOperator<Map<String, Tensor>> all() {
    return tensors -> tensors;
  }

  private static UnaryOperator<Map<String, Tensor>> without(String name) {
    return tensors -> {
      tensors.remove(name);
      return tensors;
    };
  }

  private static UnaryOperator<Map<String, Tensor>> with(String name, int rows, int columns) {
    return tensors -> {
      tensors.put(
          name, new Tensor(List.of((long) rows, (long) columns), new float[rows * columns]));
      return tensors;
    };
  }

  private static void layer(ObjectNode config, String layer, int expert) {
    config.withObject("/experts").withArray(layer).add(expert);
  }

  private Path esft(Consumer<ObjectNode> config, UnaryOperator<Map<String, Tensor>> tensors) {
    return written(
        "expert_cfg.json",
        AdapterFixture.esftConfig(EXPERTS),
        config,
        "adapter.safetensors",
        tensors.apply(AdapterFixture.experts(Form.MIXTRAL, EXPERTS, 9)));
  }

  private Path lora(Consumer<ObjectNode> config, UnaryOperator<Map<String, Tensor>> tensors) {
    Map<String, Tensor> base = CheckpointFixture.tensors(Form.MIXTRAL, 1);
    return written(
        "adapter_config.json",
        AdapterFixture.loraConfig(8, 16, TARGETS),
        config,
        "adapter_model.safetensors",
        tensors.apply(AdapterFixture.lowRank(base, AdapterFixture.modules(base, TARGETS), 8, 3)));
  }

  private Path written(
      String configFile,
      ObjectNode config,
      Consumer<ObjectNode> change,
      String weightFile,
      Map<String, Tensor> tensors) {
    try {
      Path adapter = Files.createTempDirectory(folder, "adapter");
      change.accept(config);
      CheckpointFixture.writeJson(adapter.resolve(configFile), config);
      SafetensorsWriter.write(adapter.resolve(weightFile), tensors, DType.F32);
      return adapter;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** One adapter fits the slots, two more memory beside them: what all others had is given back. */
  @Test
  @EnabledOnOs(OS.LINUX)
  void whatLeavesItsTierLeavesMemory() throws IOException {
    Adapters adapters = adapters(Form.MIXTRAL, Precision.FP32);
    AdapterTiers tiers = adapters.tiers();
    tiers.bound(
        new TierBudget(4, Long.MAX_VALUE, 0, Long.MAX_VALUE), new UseProbability(Duration.ZERO));
    List<LoadedAdapter> loaded = new ArrayList<>();
    for (int i = 0; i < 5; i++) {
      Path own =
          AdapterFixture.esft(
              folder.resolve("t" + i), Form.MIXTRAL, Map.of(0, List.of(0, 1, 2, 3)), 30 + i);
      loaded.add(adapters.load("t" + i, own, false));
    }
    assertThat(slots.lent()).isEqualTo(4);
    assertThat(loaded.stream().map(each -> tiers.tier(each.entry())))
        .containsExactly(Tier.HOT, Tier.COLD, Tier.COLD, Tier.COLD, Tier.COLD);
    for (LoadedAdapter next : loaded) {
      AdapterUse use = tiers.enter(next.entry());
      List<AdapterUse> turns = List.of(use);
      while (tiers.ready(turns, Optional::of).isEmpty()) {
        Thread.onSpinWait();
      }
      assertThat(use.tryPin()).isTrue();
      assertThat(next.weights().layers().layers()).isNotEmpty();
      assertThat(resident(next)).isGreaterThanOrEqualTo(next.bytes());
      assertThat(slots.lent()).isEqualTo(4);
      use.leave();
    }
    Map<Tier, Integer> count = new TreeMap<>();
    for (LoadedAdapter each : loaded) {
      Tier tier = tiers.tier(each.entry());
      count.merge(tier, 1, Integer::sum);
      if (tier == Tier.COLD) {
        assertThat(resident(each)).isZero();
        assertThatThrownBy(() -> each.weights().layers()).isInstanceOf(IllegalStateException.class);
      } else {
        assertThat(resident(each)).isGreaterThanOrEqualTo(each.bytes());
      }
    }
    assertThat(count).isEqualTo(Map.of(Tier.HOT, 1, Tier.WARM, 2, Tier.COLD, 2));
    loaded.forEach(each -> adapters.unload(each.name()));
    assertThat(slots.lent()).isZero();
    assertThat(tiers.counts().hotBytes() + tiers.counts().warmBytes()).isZero();
  }

  @Test
  void anAdapterThatNeedsMoreSlotsThanThereAreChangesNothing() {
    Adapters adapters = adapters(Form.MIXTRAL, Precision.FP32);
    adapters
        .tiers()
        .bound(
            new TierBudget(2, Long.MAX_VALUE, 0, Long.MAX_VALUE),
            new UseProbability(Duration.ofSeconds(1)));
    Path three = esft(config -> {}, tensors -> tensors);
    assertThatThrownBy(() -> adapters.check("a", three, false))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("3 expert slots");
    assertThatThrownBy(() -> adapters.load("a", three, false)).isInstanceOf(InvalidRequest.class);
    assertThat(adapters.list()).isEmpty();
    assertThat(slots.lent()).isZero();
  }

  /** Bytes of an adapter's file that this process has in memory. */
  private static long resident(LoadedAdapter adapter) throws IOException {
    List<String> lines = Files.readAllLines(Path.of("/proc/self/smaps"));
    for (int i = 0; i < lines.size(); i++) {
      if (lines.get(i).endsWith(adapter.weights().file())) {
        while (!lines.get(i).startsWith("Rss:")) {
          i++;
        }
        return Long.parseLong(lines.get(i).replaceAll("\\D", "")) * 1024;
      }
    }
    throw new AssertionError(adapter + " is not mapped");
  }
}

package io.epidote.engine.kernel;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.epidote.engine.error.EpidoteException.Internal;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;

/**
 * The functions of ONNX Runtime's C interface that custom operators need and its Java interface
 * does not have. Their places in the table never change (onnxruntime_c_api.h: a version only
 * appends).
 *
 * <p>A handle here is of a signature, and takes the function as its first argument: the JVM
 * compiles a call only through a handle that is a constant, and a hundred operators of a step make
 * a thousand calls. Those named getters neither wait nor call back, so that they need not leave the
 * JVM's state.
 */
final class OrtApi {
  /** The interface's version that has all of these: 1.23. */
  private static final int VERSION = 23;

  private static final int TABLE_ENTRIES = 320;

  private static final Linker LINKER = Linker.nativeLinker();
  private static final Linker.Option GETTER = Linker.Option.critical(false);

  private static final MethodHandle OF_NONE = handle(ADDRESS);
  private static final MethodHandle OF_INT = handle(ADDRESS, JAVA_INT);
  private static final MethodHandle OF_INT_AND_ONE = handle(ADDRESS, JAVA_INT, ADDRESS);
  private static final MethodHandle OF_TWO_INTS_AND_ONE =
      handle(ADDRESS, JAVA_INT, JAVA_INT, ADDRESS);
  private static final MethodHandle OF_ONE = handle(ADDRESS, ADDRESS);
  private static final MethodHandle OF_TWO = handle(ADDRESS, ADDRESS, ADDRESS);
  private static final MethodHandle OF_THREE = handle(ADDRESS, ADDRESS, ADDRESS, ADDRESS);
  private static final MethodHandle GET_OUTPUT =
      handle(ADDRESS, ADDRESS, JAVA_LONG, ADDRESS, JAVA_LONG, ADDRESS);
  private static final MethodHandle PARALLEL_FOR =
      handle(ADDRESS, ADDRESS, ADDRESS, JAVA_LONG, JAVA_LONG, ADDRESS);
  private static final MethodHandle GET_INPUT =
      LINKER.downcallHandle(FunctionDescriptor.of(ADDRESS, ADDRESS, JAVA_LONG, ADDRESS), GETTER);
  private static final MethodHandle GET_OF_ONE =
      LINKER.downcallHandle(FunctionDescriptor.of(ADDRESS, ADDRESS, ADDRESS), GETTER);
  private static final MethodHandle RELEASE =
      LINKER.downcallHandle(FunctionDescriptor.ofVoid(ADDRESS));

  private final MemorySegment errorMessage;
  private final MemorySegment releaseStatus;
  private final MemorySegment createStatus;
  private final MemorySegment createCustomOpDomain;
  private final MemorySegment customOpDomainAdd;
  private final MemorySegment addCustomOpDomain;
  private final MemorySegment releaseCustomOpDomain;
  private final MemorySegment kernelInfoGetInt;
  private final MemorySegment getInput;
  private final MemorySegment getOutput;
  private final MemorySegment tensorData;
  private final MemorySegment tensorShape;
  private final MemorySegment releaseTensorShape;
  private final MemorySegment elementCount;
  private final MemorySegment parallelFor;
  private final MemorySegment createCpuMemoryInfo;
  private final MemorySegment releaseMemoryInfo;
  private final MemorySegment createAllocator;
  private final MemorySegment releaseAllocator;
  private final MemorySegment allocatorStats;
  private final MemorySegment keyValue;
  private final MemorySegment releaseKeyValues;

  /**
   * @throws Internal when ONNX Runtime's library is not loaded, or older than 1.23
   */
  OrtApi() {
    MemorySegment getBase =
        SymbolLookup.loaderLookup()
            .find("OrtGetApiBase")
            .orElseThrow(() ->
                new Internal("ONNX Runtime's native library is not loaded in this class loader"));
    MemorySegment api;
    try {
      MemorySegment base =
          ((MemorySegment) OF_NONE.invokeExact(getBase)).reinterpret(2 * ADDRESS.byteSize());
      api = (MemorySegment) OF_INT.invokeExact(base.get(ADDRESS, 0), VERSION);
    } catch (Throwable e) {
      throw new Internal("ONNX Runtime's C interface cannot be read: " + e.getMessage(), e);
    }
    if (api.address() == 0) {
      throw new Internal("ONNX Runtime is older than 1." + VERSION);
    }
    MemorySegment table = api.reinterpret(TABLE_ENTRIES * ADDRESS.byteSize());
    this.errorMessage = table.getAtIndex(ADDRESS, 2);
    this.releaseStatus = table.getAtIndex(ADDRESS, 93);
    this.createStatus = table.getAtIndex(ADDRESS, 0);
    this.createCustomOpDomain = table.getAtIndex(ADDRESS, 26);
    this.customOpDomainAdd = table.getAtIndex(ADDRESS, 27);
    this.addCustomOpDomain = table.getAtIndex(ADDRESS, 28);
    this.releaseCustomOpDomain = table.getAtIndex(ADDRESS, 101);
    this.kernelInfoGetInt = table.getAtIndex(ADDRESS, 86);
    this.getInput = table.getAtIndex(ADDRESS, 90);
    this.getOutput = table.getAtIndex(ADDRESS, 91);
    this.tensorData = table.getAtIndex(ADDRESS, 51);
    this.tensorShape = table.getAtIndex(ADDRESS, 65);
    this.releaseTensorShape = table.getAtIndex(ADDRESS, 99);
    this.elementCount = table.getAtIndex(ADDRESS, 64);
    this.parallelFor = table.getAtIndex(ADDRESS, 274);
    this.createCpuMemoryInfo = table.getAtIndex(ADDRESS, 69);
    this.releaseMemoryInfo = table.getAtIndex(ADDRESS, 94);
    this.createAllocator = table.getAtIndex(ADDRESS, 131);
    this.releaseAllocator = table.getAtIndex(ADDRESS, 132);
    this.allocatorStats = table.getAtIndex(ADDRESS, 319);
    this.keyValue = table.getAtIndex(ADDRESS, 297);
    this.releaseKeyValues = table.getAtIndex(ADDRESS, 300);
  }

  private static MethodHandle handle(MemoryLayout result, MemoryLayout... arguments) {
    return LINKER.downcallHandle(FunctionDescriptor.of(result, arguments));
  }

  MemorySegment createStatus(int code, MemorySegment message) throws Throwable {
    return (MemorySegment) OF_INT_AND_ONE.invokeExact(createStatus, code, message);
  }

  /**
   * @param result where the domain goes
   */
  void createCustomOpDomain(MemorySegment name, MemorySegment result) throws Throwable {
    check((MemorySegment) OF_TWO.invokeExact(createCustomOpDomain, name, result));
  }

  void customOpDomainAdd(MemorySegment domain, MemorySegment operator) throws Throwable {
    check((MemorySegment) OF_TWO.invokeExact(customOpDomainAdd, domain, operator));
  }

  void addCustomOpDomain(MemorySegment sessionOptions, MemorySegment domain) throws Throwable {
    check((MemorySegment) OF_TWO.invokeExact(addCustomOpDomain, sessionOptions, domain));
  }

  void releaseCustomOpDomain(MemorySegment domain) throws Throwable {
    RELEASE.invokeExact(releaseCustomOpDomain, domain);
  }

  void kernelInfoGetInt(MemorySegment info, MemorySegment name, MemorySegment result)
      throws Throwable {
    check((MemorySegment) OF_THREE.invokeExact(kernelInfoGetInt, info, name, result));
  }

  /**
   * @param result where the value goes; null for an optional input that is left out
   */
  void getInput(MemorySegment context, long index, MemorySegment result) throws Throwable {
    check((MemorySegment) GET_INPUT.invokeExact(getInput, context, index, result));
  }

  /**
   * @param dimensions {@code [rank]} longs
   * @param result where the value goes; null for an optional output that nobody reads
   */
  void getOutput(
      MemorySegment context, long index, MemorySegment dimensions, long rank, MemorySegment result)
      throws Throwable {
    check(
        (MemorySegment)
            GET_OUTPUT.invokeExact(getOutput, context, index, dimensions, rank, result));
  }

  void tensorData(MemorySegment value, MemorySegment result) throws Throwable {
    check((MemorySegment) GET_OF_ONE.invokeExact(tensorData, value, result));
  }

  /** The number of a tensor's elements. */
  long elementCount(MemorySegment value, MemorySegment scratch) throws Throwable {
    check((MemorySegment) OF_TWO.invokeExact(tensorShape, value, scratch));
    MemorySegment shape = scratch.get(ADDRESS, 0);
    try {
      check((MemorySegment) GET_OF_ONE.invokeExact(elementCount, shape, scratch));
      return scratch.get(JAVA_LONG, 0);
    } finally {
      RELEASE.invokeExact(releaseTensorShape, shape);
    }
  }

  /** Calls {@code function(userData, i)} for every i below {@code total}, and waits for all. */
  void parallelFor(MemorySegment context, MemorySegment function, long total) throws Throwable {
    check(
        (MemorySegment)
            PARALLEL_FOR.invokeExact(
                parallelFor, context, function, total, 0L, MemorySegment.NULL));
  }

  /**
   * @param allocatorType of OrtAllocatorType
   * @param memoryType of OrtMemType
   * @return released by {@link #releaseMemoryInfo}
   */
  MemorySegment createCpuMemoryInfo(int allocatorType, int memoryType, MemorySegment scratch)
      throws Throwable {
    check(
        (MemorySegment)
            OF_TWO_INTS_AND_ONE.invokeExact(
                createCpuMemoryInfo, allocatorType, memoryType, scratch));
    return scratch.get(ADDRESS, 0);
  }

  void releaseMemoryInfo(MemorySegment memory) throws Throwable {
    RELEASE.invokeExact(releaseMemoryInfo, memory);
  }

  /**
   * The allocator of a session.
   *
   * @return released by {@link #releaseAllocator}
   */
  MemorySegment createAllocator(MemorySegment session, MemorySegment memory, MemorySegment scratch)
      throws Throwable {
    check((MemorySegment) OF_THREE.invokeExact(createAllocator, session, memory, scratch));
    return scratch.get(ADDRESS, 0);
  }

  void releaseAllocator(MemorySegment allocator) throws Throwable {
    RELEASE.invokeExact(releaseAllocator, allocator);
  }

  /**
   * An allocator's counts by name.
   *
   * @return released by {@link #releaseKeyValues}
   */
  MemorySegment allocatorStats(MemorySegment allocator, MemorySegment scratch) throws Throwable {
    check((MemorySegment) OF_TWO.invokeExact(allocatorStats, allocator, scratch));
    return scratch.get(ADDRESS, 0);
  }

  /** A value of {@link #allocatorStats}, a C string, or null. */
  MemorySegment keyValue(MemorySegment values, MemorySegment key) throws Throwable {
    return (MemorySegment) OF_TWO.invokeExact(keyValue, values, key);
  }

  void releaseKeyValues(MemorySegment values) throws Throwable {
    RELEASE.invokeExact(releaseKeyValues, values);
  }

  /**
   * Turns a returned status into an exception.
   *
   * @throws Internal with ONNX Runtime's message when {@code status} is not null; it is released
   */
  private void check(MemorySegment status) throws Throwable {
    if (status.address() != 0) {
      MemorySegment text = (MemorySegment) OF_ONE.invokeExact(errorMessage, status);
      String message = text.reinterpret(Long.MAX_VALUE).getString(0);
      RELEASE.invokeExact(releaseStatus, status);
      throw new Internal("ONNX Runtime: " + message);
    }
  }
}

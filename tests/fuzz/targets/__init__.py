"""One file for each target. Each has

    INSTRUMENTED  packages whose branches the fuzzer watches
    ACCEPTS       the exceptions that are an answer; any other is a defect
    SEEDS         inputs to begin with
    check(data)   reads the octets, and asserts what must hold of what was accepted

and may have WORDS, octets that are worth putting in.
"""

"""The seven planes of an environment: one module each, with the same verbs.

`desired` what git declares (pure); `observe` what is there (reads only); `compare` the findings (pure); `converge` the
smallest change that closes them (idempotent, journalled); `remove` the way back. `bring.bring_into_step` runs them.
"""

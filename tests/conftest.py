from hypothesis import settings

# a busy machine is no failure: no test of ours depends on how long it takes
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

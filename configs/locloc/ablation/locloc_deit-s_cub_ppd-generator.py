# LocLoc on CUB-200-2011 with the generator of PPD, which the official training script builds, too.
_base_ = ['../locloc_deit-s_cub.py']
model = dict(head=dict(generator=dict(_delete_=True, type='ppd')))

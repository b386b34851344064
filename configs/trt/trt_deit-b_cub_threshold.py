# TRT that selects the patches above a fixed threshold, the paper's Fig. 4a. Its value was not published; 0.02, about four
# times the mean attention of 1 / 196, is the default threshold of the official settings.
_base_ = ['./trt_deit-b_cub.py']
model = dict(backbone=dict(tpsm=dict(_delete_=True, selection='threshold', tau=0.02)))

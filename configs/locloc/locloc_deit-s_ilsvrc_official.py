# LocLoc on ILSVRC2012 as the official code evaluates it: the first box of an image alone, and the best of six
# thresholds on the evaluated set.
_base_ = ['./locloc_deit-s_ilsvrc.py']
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(
        type='mmwsol.LocAccuracy',
        protocol='locloc',
        map_to_box=dict(type='mmwsol.ContourBox', preset='locloc'),
        threshold=dict(grid=[0.3, 0.34, 0.38, 0.4, 0.42, 0.45], select_by='each', select_on='test')),
    dict(type='mmwsol.MaxBoxAcc', frame_rule='short', map_class='agnostic'),
]
test_evaluator = val_evaluator

# LocLoc on CUB-200-2011 as the official code evaluates it: 1000 outputs, of which 200 are used, and the best of six
# thresholds on the test set. For the released classifier, too.
_base_ = ['./locloc_deit-s_cub.py']
model = dict(head=dict(num_classes=1000))
default_hooks = dict(num_classes=dict(more_outputs=True))
val_evaluator = [
    dict(type='mmpretrain.Accuracy', topk=(1, 5), prefix='cls'),
    dict(
        type='mmwsol.LocAccuracy',
        protocol='locloc',
        map_to_box=dict(type='mmwsol.ContourBox', preset='locloc'),
        threshold=dict(grid=[0.45, 0.48, 0.5, 0.51, 0.52, 0.53], select_by='each', select_on='test')),
    dict(type='mmwsol.MaxBoxAcc', frame_rule='short', map_class='agnostic'),
]
test_evaluator = val_evaluator
